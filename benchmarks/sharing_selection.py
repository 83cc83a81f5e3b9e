"""Where ESMM wins and where it loses: BASE, ESMM-NS and ESMM in worlds of Ali-CCP's shape.

    python -m benchmarks.sharing_selection [--quick]

First each method's learning rates and epochs, by as many trials for each, in worlds drawn apart;
then how many rows and worlds it takes to tell the three apart (pilot); then a map over what clicks
and conversions share and how they are correlated. Worlds are conf/ali_ccp_like.yaml, scaled, and
for the map with more conversions a click, so that a training has as many of them as at a larger
scale; each is drawn several times by seeds 1, 2, …; scores are expected AUCs against the true
p(conversion | do(click), x) over all test impressions: no noise of labels. What is drawn and
trained stays in runs/, and the command goes on where it stopped; record and figure are written
beside this script. --quick: one small pilot and two cells, no record.
"""

import argparse
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist

import numpy as np
from scipy import optimize, stats

from benchmarks.parts.heat_map import heat_map
from benchmarks.parts.record import heading, stem, table, write_figure, write_record
from benchmarks.parts.scored_worlds import (
    CONFIG,
    METHODS,
    OVERRIDES,
    Gaps,
    Tuning,
    best_of,
    gaps_of,
    mean_of,
    tuned,
)

PAIRS = (("esmm", "base"), ("esmm", "esmm_ns"), ("esmm_ns", "base"))
PUBLISHED = {("esmm", "base"): 0.0256, ("esmm", "esmm_ns"): 0.0031, ("esmm_ns", "base"): 0.0225}
"""CVR AUC over clicks, Ali-CCP (arXiv 1804.07931, table 2)."""
DIFFERENCES = (0.003, 0.01, 0.02)  # the paper's ESMM less ESMM-NS, and two larger ones
POWER, LEVEL = 0.8, 0.95
ALI_CCP_CVR = 0.00535


DEPARTURES = (
    "Departures from Ali-CCP and from the paper, declared: a fiftieth of its rows, users, items "
    "and cardinalities, and five times its conversions a click, so that a training has some 900 of "
    "them; fields of dimension 8, towers 64-32, batches of 512; rates and epochs chosen by the "
    "truth, which no user has, in worlds drawn apart; AUC over all impressions against "
    "probabilities, not over clicks against labels. The worlds are invented, of one family."
)


@dataclass(frozen=True)
class Size:
    """What is drawn."""

    pilots: tuple[tuple[float, float], ...] = ((0.02, ALI_CCP_CVR), (0.05, ALI_CCP_CVR))
    """Scale and conversions a click; that of the map is a pilot too."""
    num_pilots: int = 3
    num_tuning: int = 3
    """Worlds, like those of the map."""
    map_world: tuple[float, float] = (0.02, 5 * ALI_CCP_CVR)
    num_replicates: int = 8
    cells: Mapping[float, tuple[float, ...]] = field(default_factory=lambda: {
        0.0: (0.0,), 0.5: (-0.5, 0.0, 0.5), 1.0: (-0.5, 0.0, 0.5)})
    """Selections by sharing: at most as large."""


QUICK = Size((), 2, 1, (0.002, 5 * ALI_CCP_CVR), 2, {0.0: (0.0,), 1.0: (0.5,)})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="small, and no record")
    arguments = parser.parse_args()
    size = QUICK if arguments.quick else Size()
    tuning = tuned(changes_of(*size.map_world), size.num_tuning)
    settings = {method: best_of(of_method) for method, of_method in tuning.items()}
    print(tuning_table(tuning))
    pilots = {world: gaps_of("pilot-{:g}-{:g}".format(*world), changes_of(*world),
                             size.num_pilots, settings)
              for world in (*size.pilots, size.map_world)}
    print(pilot_table(pilots))
    cells = {(sharing, selection): gaps_of(
        f"map-{sharing:g}-{selection:g}",
        changes_of(*size.map_world) | {"sharing": sharing, "selection": selection},
        size.num_replicates, settings)
        for sharing, selections in size.cells.items() for selection in selections}
    print(map_table(cells))
    if not arguments.quick:
        print(write_record(stem("sharing_selection"), record(size, tuning, pilots, cells)))
    print(json.dumps({"ratios": {f"esmm - base at sharing {a:g}, selection {b:g}":
                                 round(mean_of(gaps.of("esmm", "base")), 4)
                                 for (a, b), gaps in cells.items()}, "bars": {}, "missed": []}))


def changes_of(scale: float, cvr: float) -> dict[str, float]:
    """The keys of `simulate` that make such a world."""
    return {"scale": scale, "rates.cvr": cvr}


# ---------------------------------------------------------------------------------------------
# Telling
# ---------------------------------------------------------------------------------------------


def needed(std: float, difference: float) -> int:
    """Replicates by which a paired difference is found at 5 % with the declared power, by the
    normal approximation."""
    normal = NormalDist()
    reach = normal.inv_cdf((1 + LEVEL) / 2) + normal.inv_cdf(POWER)
    return max(2, math.ceil((reach * std / difference) ** 2))


def found_by(num_replicates: int, std: float, num_intervals: int) -> float:
    """The paired difference that so many replicates find with the declared power, by Student's
    intervals of which `num_intervals` hold together: by the noncentral t."""
    free = num_replicates - 1
    quantile = float(stats.t.ppf(1 - (1 - LEVEL) / 2 / num_intervals, free))
    shift = optimize.brentq(lambda shift: stats.nct.sf(quantile, free, shift) - POWER,
                            0.0, 2 * quantile)
    return float(shift) * std / math.sqrt(num_replicates)


def limits_of_std(std: float, num_replicates: int) -> tuple[float, float]:
    """95 % limits of a standard deviation: a normal's variance is chi-square distributed."""
    free = num_replicates - 1
    quantiles = stats.chi2.ppf([(1 + LEVEL) / 2, (1 - LEVEL) / 2], free)
    low, high = (std * math.sqrt(free / quantile) for quantile in quantiles)
    return low, high


def needed_text(std: float, num_replicates: int, difference: float) -> str:
    """The number, with its limits."""
    low, high = (needed(limit, difference) for limit in limits_of_std(std, num_replicates))
    return f"{needed(std, difference)} ({low} to {high})"


def tuning_table(tuning: Tuning) -> str:
    rows = []
    for method, of_method in tuning.items():
        best = best_of(of_method)
        for setting, values in of_method.items():
            marks = "**" if setting == best else ""
            rows.append([method, f"{marks}{setting}{marks}",
                         f"{mean_of(values):.4f}", ", ".join(f"{value:.4f}" for value in values)])
    return table(["method", "towers / tables, length", "mean", "by world"], rows)


def pilot_table(pilots: Mapping[tuple[float, float], Gaps]) -> str:
    rows = []
    for (scale, cvr), gaps in pilots.items():
        for one, other in PAIRS:
            difference = gaps.of(one, other)
            std = float(np.std(difference, ddof=1))
            rows.append([f"{scale:g}", f"{cvr:g}", f"{gaps.num_train:,}",
                         f"{gaps.num_train_conversions:,}", f"{one} - {other}",
                         f"{mean_of(difference):+.4f}", f"{std:.4f}",
                         f"{gaps.std_of_rows(one, other):.4f}",
                         *(needed_text(std, len(difference), d) for d in DIFFERENCES)])
    return table(["scale", "CVR", "training rows", "their conversions", "difference", "mean",
                  "std of worlds and trainings", f"std of {gaps.num_test:,} test rows",
                  *(f"needed for {d:g}" for d in DIFFERENCES)], rows)


def interval(gaps: Sequence[float], num_intervals: int = 1) -> tuple[float, float]:
    """Mean, and how far Student's interval reaches on either side: as many together hold their
    means with 95 % (Bonferroni)."""
    error = float(np.std(gaps, ddof=1)) / math.sqrt(len(gaps))
    quantile = stats.t.ppf(1 - (1 - LEVEL) / 2 / num_intervals, len(gaps) - 1)
    return mean_of(gaps), error * float(quantile)


def interval_text(gaps: Sequence[float], num_intervals: int) -> str:
    mean, reach = interval(gaps)
    return f"{mean:+.4f} ± {reach:.4f} (± {interval(gaps, num_intervals)[1]:.4f})"


def map_table(cells: Mapping[tuple[float, float], Gaps]) -> str:
    rows = [[f"{a:g}", f"{b:g}", *(f"{mean_of(gaps.scores[m]):.4f}" for m in METHODS),
             f"{mean_of(gaps.best):.4f}",
             *(interval_text(gaps.of(*pair), len(PAIRS) * len(cells)) for pair in PAIRS)]
            for (a, b), gaps in cells.items()]
    return table(["sharing", "selection", *METHODS, "the truth itself",
                  *(" - ".join(pair) for pair in PAIRS)], rows)


def record(
    size: Size, tuning: Tuning, pilots: Mapping[tuple[float, float], Gaps],
    cells: Mapping[tuple[float, float], Gaps],
) -> str:
    """The page."""
    of_map = next(iter(cells.values()))
    pooled = {pair: math.sqrt(float(np.mean([np.var(gaps.of(*pair), ddof=1)
                                             for gaps in cells.values()]))) for pair in PAIRS}
    figures = [write_figure(f"{stem('sharing_selection')}_{one}_less_{other}.svg",
                            heat_map(f"expected CVR AUC, {one} less {other}", {
                                cell: mean_of(gaps.of(one, other))
                                for cell, gaps in cells.items()})) for one, other in PAIRS[:2]]
    num_intervals = len(PAIRS) * len(cells)
    telling = "; ".join(
        f"{one} - {other}: {std:.4f}, by which {size.num_replicates} replicates find a difference "
        f"of {found_by(size.num_replicates, std, 1):.4f} in one cell, and of "
        f"{found_by(size.num_replicates, std, num_intervals):.4f} where all intervals hold "
        f"together; the paper has {PUBLISHED[one, other]:+.4f}"
        for (one, other), std in pooled.items())
    verdict = [f"* {one} - {other}: {_told(cells, one, other)}.\n" for one, other in PAIRS]
    return "".join([
        heading("Sharing and selection: where ESMM wins and where it loses",
                "python -m benchmarks.sharing_selection",
                f"Config: `{CONFIG}` with {', '.join(f'`{o}`' for o in OVERRIDES)}."),
        f"\n{DEPARTURES}\n\nScores: expected AUC of pCVR against the true p(conversion | "
        "do(click), x) over all test impressions. A replicate is another world (users, items, "
        "factors, logs) and another seed of training; all methods share it.\n\n## Learning rates "
        f"and epochs\n\nAs many trials for every method, in {size.num_tuning} worlds of the map's "
        "kind drawn apart, by "
        f"the same score.\n\n", tuning_table(tuning),
        f"\n## Power\n\nThe world as declared, at CVR {ALI_CCP_CVR:g}, which is Ali-CCP's, and at "
        f"the map's. Needed: replicates by which a paired difference is "
        "found at the 5 % level with a power of 80 %, and the limits that so few pilots leave.\n\n",
        pilot_table(pilots),
        "\n## Map\n\nScale {:g}, CVR {:g}: ".format(*size.map_world),
        f"{of_map.num_train:,} training rows, about "
        f"{of_map.num_train_conversions:,} conversions among them; {of_map.num_test:,} test rows; "
        f"{size.num_replicates} replicates a cell. Sharing is the share of either logit's user and "
        "item variance that comes from common factors, selection the correlation of the two logits "
        "(docs/simulation.md). ± is Student's 95 % interval of one difference; in brackets that of "
        f"all {num_intervals} together (Bonferroni), by which the sentences below go. Standard "
        f"deviations of one paired difference, pooled over cells: {telling}.\n\n",
        map_table(cells), "\n", *figures, "\n", *verdict,
    ])


def _told(cells: Mapping[tuple[float, float], Gaps], one: str, other: str) -> str:
    """The cells whose interval, of all together, leaves 0 out, on either side, and how many do
    not."""
    above: list[str] = []
    below: list[str] = []
    for (a, b), gaps in cells.items():
        mean, reach = interval(gaps.of(one, other), len(PAIRS) * len(cells))
        if abs(mean) > reach:
            (above if mean > 0 else below).append(f"sharing {a:g}, selection {b:g}")
    named = [f"{side} 0 at {'; '.join(where)}"
             for side, where in (("above", above), ("below", below)) if where]
    num_open = len(cells) - len(above) - len(below)
    return ", ".join([*named, f"not told from 0 in {num_open} of {len(cells)} cells"])


if __name__ == "__main__":
    main()
