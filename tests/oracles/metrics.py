"""Metrics by their definitions, row by row in plain Python: slow, and obvious.

A row is (label, weight, score, group, p, model); logarithms of probabilities come from logits by
400-digit arithmetic.
"""

import math
from collections.abc import Sequence
from decimal import Decimal, localcontext
from typing import NamedTuple

NUM_DIGITS = 400


class Row(NamedTuple):
    """One row of one task."""

    label: int
    weight: float
    score: float
    group: int
    p: float = 0.5
    model: int = 0


def log_p_and_not_p(*logits: float) -> tuple[float, float]:
    """log p and log (1 - p) of the product of sigmoids of the logits."""
    with localcontext() as context:
        context.prec = NUM_DIGITS
        p = Decimal(1)
        for logit in logits:
            p /= 1 + (-Decimal(logit)).exp()
        return float(p.ln()), float((1 - p).ln())


def auc(rows: Sequence[Row]) -> float | None:
    """Every pair of a positive and a negative; a tie is half a win."""
    wins = pairs = 0.0
    for positive in rows:
        for negative in rows:
            if positive.label == 1 and negative.label == 0:
                pair = positive.weight * negative.weight
                pairs += pair
                if positive.score > negative.score:
                    wins += pair
                elif positive.score == negative.score:
                    wins += pair / 2
    return wins / pairs if pairs else None


def auc_within_model(rows: Sequence[Row]) -> float | None:
    """Every pair of a positive and a negative that one model scored; a tie is half a win."""
    wins = pairs = 0.0
    for positive in rows:
        for negative in rows:
            if (positive.label, negative.label) == (1, 0) and positive.model == negative.model:
                pair = positive.weight * negative.weight
                pairs += pair
                wins += pair * ((positive.score > negative.score)
                                + (positive.score == negative.score) / 2)
    return wins / pairs if pairs else None


def gauc(rows: Sequence[Row]) -> tuple[float | None, float]:
    """The mean AUC of what one model scored of one group, by weight, and the weight's share left
    out."""
    total = sum(row.weight for row in rows)
    ranked = weighted = 0.0
    for key in {(row.group, row.model) for row in rows}:
        of_list = [row for row in rows if (row.group, row.model) == key]
        of_list_auc = auc(of_list)
        if of_list_auc is not None:
            weight = sum(row.weight for row in of_list)
            ranked += weight
            weighted += weight * of_list_auc
    return (weighted / ranked if ranked else None), 1 - ranked / total


def logloss(rows: Sequence[Row]) -> float:
    """Mean of -log p(label)."""
    losses = [-row.weight * math.log(row.p if row.label else 1 - row.p) for row in rows]
    return sum(losses) / sum(row.weight for row in rows)


def ne(rows: Sequence[Row]) -> float | None:
    """Log loss over that of always predicting the rows' own rate."""
    rate = sum(row.weight * row.label for row in rows) / sum(row.weight for row in rows)
    if rate in (0, 1):
        return None
    return logloss(rows) / logloss([row._replace(p=rate) for row in rows])


def pcoc(rows: Sequence[Row]) -> float | None:
    """Predicted over observed positives."""
    observed = sum(row.weight * row.label for row in rows)
    return sum(row.weight * row.p for row in rows) / observed if observed else None


def bins(rows: Sequence[Row], num_bins: int) -> list[list[Row]]:
    """Rows by bins of equal weight: a bin opens at the score of the first row with which the
    weight exceeds the next multiple of total / num_bins; equal scores never part."""
    ordered = sorted(rows, key=lambda row: row.score)
    total = sum(row.weight for row in rows)
    opening = set()
    for number in range(1, num_bins):
        up_to = 0.0
        for row in ordered:
            up_to += row.weight
            if up_to / total > number / num_bins:
                opening.add(row.score)
                break
    filled: list[list[Row]] = [[]]
    for place, row in enumerate(ordered):
        if row.score in opening and (place == 0 or ordered[place - 1].score < row.score):
            filled.append([])
        filled[-1].append(row)
    return [rows_of_bin for rows_of_bin in filled if rows_of_bin]


def ece(rows_of_bin: Sequence[Sequence[Row]]) -> float:
    """Mean over bins, by weight, of how far the mean prediction lies off the rate."""
    total = sum(row.weight for rows in rows_of_bin for row in rows)
    gap = 0.0
    for rows in rows_of_bin:
        weight = sum(row.weight for row in rows)
        predicted = sum(row.weight * row.p for row in rows) / weight
        observed = sum(row.weight * row.label for row in rows) / weight
        gap += weight / total * abs(predicted - observed)
    return gap


def drawn(rows: Sequence[Row], groups: Sequence[int]) -> list[Row]:
    """The rows of one bootstrap draw: every drawn group's rows, as often as it was drawn, each time
    as a group of its own."""
    return [row._replace(group=place) for place, group in enumerate(groups)
            for row in rows if row.group == group]
