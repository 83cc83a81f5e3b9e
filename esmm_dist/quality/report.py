"""quality.html and quality.json: what the days hold, how they drifted, and what was demanded.

It turns figures into words and pictures; it computes none of them and reads no file but its own
template.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from markupsafe import Markup

from esmm_dist.contract.days import DayRange
from esmm_dist.contract.encodings import FIRST_VOCABULARY_ID, Encodings, boundaries_of
from esmm_dist.contract.features import (
    BucketEncoding,
    Feature,
    HashEncoding,
    VocabularyEncoding,
    table_of,
)
from esmm_dist.contract.manifest import Day
from esmm_dist.contract.profile import DELAY_EDGES_S, ColumnProfile, DayProfile
from esmm_dist.contract.schema import GROUP_ID
from esmm_dist.contract.sections import Config
from esmm_dist.pages.charts import day_chart
from esmm_dist.pages.page import rendered
from esmm_dist.pages.rates import wilson_interval
from esmm_dist.pages.svg import Mark, percent_text
from esmm_dist.pages.text import percent
from esmm_dist.quality.charts import bar_chart, delay_chart, sparkline
from esmm_dist.quality.figures import DayFigures, delay_curve
from esmm_dist.quality.verdicts import Verdict, bounds

TEMPLATE = "quality.html.j2"
LEVEL = 0.95
NUM_TOP_KEYS = 5
# Siddiqi's bounds of the population stability index
STABLE, SHIFTED = 0.1, 0.25
DELAY_WORDS = {"click_delay_s": "clicks", "conversion_delay_s": "conversions"}


@dataclass(frozen=True)
class Findings:
    """All that a report shows; days, profiles and figures are of the same days, in order."""

    config: Config
    manifest: int
    checked_at: datetime
    days: Sequence[Day]
    profiles: Sequence[DayProfile]
    figures: Sequence[DayFigures]
    verdicts: Sequence[Verdict]
    encodings: Encodings


def as_json(found: Findings) -> str:
    """The figures for machines."""
    return json.dumps({
        "samples_path": found.config.samples.path,
        "manifest": found.manifest,
        "checked_at": found.checked_at.isoformat(),
        "trailing_days": found.config.quality.trailing_days,
        "delay_edges_s": DELAY_EDGES_S,
        "expectations": [
            {"name": v.expectation.name, "metric": v.expectation.metric, "feature": v.feature,
             "day": v.day.isoformat(), "value": v.value, "min": v.expectation.min,
             "max": v.expectation.max, "holds": v.holds}
            for v in found.verdicts
        ],
        "days": {
            figures.day.isoformat(): {
                **{k: v for k, v in asdict(figures).items() if k not in ("day", "columns")},
                "counters": day.counters,
                "delays": profile.delays,
                "columns": {
                    name: {**asdict(column), "top": _top(found, profile.columns[name], name)}
                    for name, column in figures.columns.items()
                },
            }
            for day, profile, figures in zip(found.days, found.profiles, found.figures)
        },
    }, indent=1, ensure_ascii=False) + "\n"


def as_html(found: Findings) -> str:
    """The figures for people, as one file without any outside resource."""
    days = [figures.day.isoformat() for figures in found.figures]
    return rendered(
        "esmm_dist.quality", TEMPLATE, {"bounds": bounds, "psi": _psi_text},
        config=found.config, found=found, days=days, last=found.figures[-1],
        range=DayRange(first=found.figures[0].day, last=found.figures[-1].day),
        verdicts=_verdict_rows(found.verdicts),
        rows_chart=Markup(bar_chart("Samples by day", [f.num_rows for f in found.figures], days)),
        ctr_chart=Markup(_rate_chart("CTR", "ctr", "num_rows", found)),
        cvr_chart=Markup(_rate_chart("CVR", "cvr", "num_clicks", found)),
        delays=Markup(delay_chart(
            "Share of clicks and conversions that came within a time",
            {word: delay_curve(found.profiles, name) for name, word in DELAY_WORDS.items()},
        )),
        columns=[_column_row(found, name) for name in found.figures[-1].columns],
        counters=sorted({name for day in found.days for name in day.counters}),
        stable=STABLE, shifted=SHIFTED,
    )


# ---------------------------------------------------------------------------------------------
# Views of the template
# ---------------------------------------------------------------------------------------------


def _verdict_rows(verdicts: Sequence[Verdict]) -> list[dict[str, Any]]:
    """A row an expectation: how often it held, and where it did not."""
    rows: dict[str, dict[str, Any]] = {}
    for verdict in verdicts:
        row = rows.setdefault(verdict.expectation.name, {
            "expectation": verdict.expectation, "num": 0, "undefined": 0, "broken": [],
        })
        row["num"] += 1
        row["undefined"] += verdict.holds is None
        row["broken"] += [verdict] if verdict.holds is False else []
    return sorted(rows.values(), key=lambda row: not row["broken"])


def _rate_chart(title: str, rate: str, trials: str, found: Findings) -> str:
    marks: list[Mark | None] = []
    for figures in found.figures:
        value, num = getattr(figures, rate), getattr(figures, trials)
        if value is None:
            marks.append(None)
            continue
        low, high = wilson_interval(value, num, LEVEL)
        text = f"{figures.day}: {percent(value)} ({percent(low)} to {percent(high)})"
        marks.append(Mark(value, low, high, text))
    days = [figures.day.isoformat() for figures in found.figures]
    return day_chart(f"{title} by day", {"model": marks}, days, percent_text)


def _column_row(found: Findings, name: str) -> dict[str, Any]:
    course = [figures.columns[name] for figures in found.figures]
    return {
        "name": name, "kind": _kind(found.config.features, name), "last": course[-1],
        "top": _top(found, found.profiles[-1].columns[name], name),
        "psi": [column.psi for column in course],
        "levels": [_level(column.psi) for column in course],
        "psi_line": Markup(sparkline(
            f"PSI of {name} by day", [column.psi for column in course], SHIFTED
        )),
        "null_line": Markup(sparkline(
            f"Null rate of {name} by day", [column.null_rate for column in course],
            max(column.null_rate or 0 for column in course),
        )),
    }


def _kind(features: Sequence[Feature], name: str) -> str:
    if name == GROUP_ID:
        return "group key"
    return next(str(f.kind) for f in features if f.name == name).replace("_", "-")


def _level(psi: float | None) -> str:
    if psi is None:
        return "undefined"
    return "stable" if psi < STABLE else "moved" if psi < SHIFTED else "shifted"


def _psi_text(psi: float | None) -> str:
    return "–" if psi is None else f"{psi:.3f}"


def _top(found: Findings, column: ColumnProfile, name: str) -> list[dict[str, Any]]:
    """The most frequent ids of a day, with what they stand for."""
    most = sorted(column.num_of_id.items(), key=lambda item: (-item[1], item[0]))[:NUM_TOP_KEYS]
    feature = next((f for f in found.config.features if f.name == name), None)
    return [
        {"id": id_, "key": key_of_id(feature, id_, found.encodings),
         "num_values": number, "share": number / column.num_values}
        for id_, number in most
    ]


def key_of_id(feature: Feature | None, id_: int, encodings: Encodings) -> str:
    """What an id stands for: a vocabulary's key or a bucket's ends; a hash tells only the id."""
    if feature is None or isinstance(feature.encode, HashEncoding):
        return f"#{id_}"
    if isinstance(feature.encode, VocabularyEncoding):
        return encodings.vocabularies[table_of(feature)][id_ - FIRST_VOCABULARY_ID]
    assert isinstance(feature.encode, BucketEncoding)
    ends = boundaries_of(feature, encodings)
    if not ends:
        return "any number"
    if id_ == 1:
        return f"below {ends[0]:g}"
    return f"{ends[id_ - 2]:g} and more" if id_ == len(ends) + 1 else \
        f"{ends[id_ - 2]:g} to {ends[id_ - 1]:g}"
