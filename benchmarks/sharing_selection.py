"""Where ESMM wins and where it loses: BASE, ESMM-NS and ESMM in worlds of Ali-CCP's shape.

    python -m benchmarks.sharing_selection [--quick]

First each method's learning rates, by as many trials for each, in worlds drawn apart; then how many
rows and worlds it takes to tell the three apart (pilot); then a map over what clicks and
conversions share and how they are correlated. Worlds are conf/ali_ccp_like.yaml, scaled, and for
the map with more conversions a click, so that a training has as many of them as at a larger scale;
each is drawn several times by seeds 1, 2, …; scores are expected AUCs against the true
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
from scipy import stats

from benchmarks.parts.heat_map import heat_map
from benchmarks.parts.record import heading, stem, table, write_figure, write_record
from benchmarks.parts.scored_worlds import (
    CONFIG,
    METHODS,
    OVERRIDES,
    RATES,
    Gaps,
    Tuning,
    gaps_of,
    mean_of,
    tuned,
)

PAIRS = (("esmm", "base"), ("esmm", "esmm_ns"), ("esmm_ns", "base"))
DIFFERENCES = (0.003, 0.01, 0.02)  # the paper's ESMM less ESMM-NS, and two larger ones
POWER, LEVEL = 0.8, 0.95
ALI_CCP_CVR = 0.00535


@dataclass(frozen=True)
class Size:
    """What is drawn."""

    pilots: tuple[tuple[float, float], ...] = ((0.02, ALI_CCP_CVR), (0.05, ALI_CCP_CVR))
    """Scale and conversions a click; that of the map is a pilot too."""
    num_pilots: int = 3
    num_tuning: int = 1
    """Worlds, like those of the map."""
    map_world: tuple[float, float] = (0.02, 5 * ALI_CCP_CVR)
    num_replicates: int = 3
    cells: Mapping[float, tuple[float, ...]] = field(default_factory=lambda: {
        0.0: (0.0,), 0.5: (-0.5, 0.5), 1.0: (-0.5, 0.0, 0.5)})
    """Selections by sharing: at most as large."""


QUICK = Size((), 2, 1, (0.002, 5 * ALI_CCP_CVR), 2, {0.0: (0.0,), 1.0: (0.5,)})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="small, and no record")
    arguments = parser.parse_args()
    size = QUICK if arguments.quick else Size()
    tuning = tuned(changes_of(*size.map_world), size.num_tuning)
    rates = {method: max(values, key=lambda rate: mean_of(values[rate]))
             for method, values in tuning.items()}
    print(tuning_table(tuning))
    pilots = {world: gaps_of("pilot-{:g}-{:g}".format(*world), changes_of(*world),
                             size.num_pilots, rates)
              for world in (*size.pilots, size.map_world)}
    print(pilot_table(pilots))
    cells = {(sharing, selection): gaps_of(
        f"map-{sharing:g}-{selection:g}",
        changes_of(*size.map_world) | {"sharing": sharing, "selection": selection},
        size.num_replicates, rates)
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


def tuning_table(tuning: Tuning) -> str:
    rows = []
    for method, values in tuning.items():
        best = max(values, key=lambda rate: mean_of(values[rate]))
        marks = {rate: "**" if rate == best else "" for rate in values}
        rows.append([method, *(f"{marks[rate]}{mean_of(of_rate):.4f}{marks[rate]}"
                               for rate, of_rate in values.items())])
    return table(["method", *(f"{r.towers:g} / {r.tables:g}" for r in RATES)], rows)


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
                         *(str(needed(std, d)) for d in DIFFERENCES)])
    return table(["scale", "CVR", "training rows", "their conversions", "difference", "mean",
                  "std of worlds and trainings", f"std of {gaps.num_test:,} test rows",
                  *(f"needed for {d:g}" for d in DIFFERENCES)], rows)


def interval_text(gaps: Sequence[float]) -> str:
    """Mean with Student's 95 % interval."""
    error = float(np.std(gaps, ddof=1)) / math.sqrt(len(gaps))
    reach = error * float(stats.t.ppf((1 + LEVEL) / 2, len(gaps) - 1))
    return f"{mean_of(gaps):+.4f} ± {reach:.4f}"


def map_table(cells: Mapping[tuple[float, float], Gaps]) -> str:
    rows = [[f"{a:g}", f"{b:g}", *(f"{mean_of(gaps.scores[m]):.4f}" for m in METHODS),
             f"{mean_of(gaps.best):.4f}", *(interval_text(gaps.of(*pair)) for pair in PAIRS)]
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
    telling = "; ".join(
        f"{one} - {other}: {std:.4f}, {needed(std, 0.01)} replicates for a difference of .01 and "
        f"{needed(std, 0.003)} for .003" for (one, other), std in pooled.items())
    num_above = {pair: sum(mean_of(gaps.of(*pair)) > 0 for gaps in cells.values())
                 for pair in PAIRS}
    verdict = [f"* {one} - {other}: above 0 in {num_above[one, other]} of {len(cells)} cells; most "
               f"at {_extreme(cells, one, other, max)}, least at "
               f"{_extreme(cells, one, other, min)}.\n" for one, other in PAIRS]
    return "".join([
        heading("Sharing and selection: where ESMM wins and where it loses",
                "python -m benchmarks.sharing_selection",
                f"Config: `{CONFIG}` with {', '.join(f'`{o}`' for o in OVERRIDES)}."),
        f"\nScores: expected AUC of pCVR against the true p(conversion | do(click), x) over all "
        f"test impressions. A replicate is another world (users, items, factors, logs) and another "
        f"seed of training; all methods share it. One epoch.\n\n## Learning rates\n\nTowers / "
        f"tables: the same trials for every method, in {size.num_tuning} world of the "
        f"map's kind drawn apart, by the same score.\n\n", tuning_table(tuning),
        f"\n## Power\n\nThe world as declared, at CVR {ALI_CCP_CVR:g}, which is Ali-CCP's, and at "
        f"the map's. Needed: replicates by which a paired difference is "
        "found at the 5 % level with a power of 80 %.\n\n", pilot_table(pilots),
        "\n## Map\n\nScale {:g}, CVR {:g}: ".format(*size.map_world),
        f"{of_map.num_train:,} training rows, about "
        f"{of_map.num_train_conversions:,} conversions among them; {of_map.num_test:,} test rows; "
        f"{size.num_replicates} replicates a cell. Sharing is the share of either logit's user and "
        "item variance that comes from common factors, selection the correlation of the two logits "
        "(docs/simulation.md). ± is Student's 95 % interval, of so few replicates wide by itself; "
        f"the deviation of one paired difference, pooled over cells, is {telling}.\n\n",
        map_table(cells), "\n", *figures, "\n", *verdict,
    ])


def _extreme(cells: Mapping[tuple[float, float], Gaps], one: str, other: str, pick: object) -> str:
    assert callable(pick)
    (a, b), gaps = pick(cells.items(), key=lambda cell: mean_of(cell[1].of(one, other)))
    return f"sharing {a:g}, selection {b:g} ({interval_text(gaps.of(one, other))})"


if __name__ == "__main__":
    main()
