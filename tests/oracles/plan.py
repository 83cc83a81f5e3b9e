"""Who reads what, by writing every row down: the slow reading of the words in the plan."""

from collections.abc import Sequence

import numpy as np

from esmm_dist.reader.plan import Plan

Row = tuple[int, int]
"""A file and a place in it."""


Counts = Sequence[Sequence[int]]
"""For each file how often each of its rows takes part."""


def rows_in_order(plan: Plan, counts: Counts | None = None) -> list[Row]:
    """All rows of the pass, one after the other; without counts each row once."""
    return [
        (file, int(place)) for file in plan.file_order
        for place in plan.row_order(file, None if counts is None else np.array(counts[file], int))
    ]


def lane_of_slot(slot: int, batch_size: int, num_lanes: int) -> int:
    """The lane that fills a place of the global batch."""
    return next(
        lane for lane in range(num_lanes)
        if lane * batch_size // num_lanes <= slot < (lane + 1) * batch_size // num_lanes
    )


def lanes_of_batches(
    rows: Sequence[Row], batch_size: int, num_lanes: int, num_steps: int
) -> list[list[list[Row]]]:
    """For each step the rows of each lane: row ranges one after the other, one range a lane."""
    lane_of = [lane_of_slot(slot, batch_size, num_lanes) for slot in range(batch_size)]
    rows_per_step = [lane_of.count(lane) for lane in range(num_lanes)]
    left = list(rows)
    range_of_lane = []
    for lane in range(num_lanes):
        num_rows = num_steps * rows_per_step[lane]
        range_of_lane.append(left[:num_rows])
        left = left[num_rows:]
    batches = []
    for _ in range(num_steps):
        batch = []
        for lane in range(num_lanes):
            batch.append(range_of_lane[lane][: rows_per_step[lane]])
            range_of_lane[lane] = range_of_lane[lane][rows_per_step[lane] :]
        batches.append(batch)
    return batches


def batches_of_ranks(plan: Plan, counts: Counts | None = None) -> list[list[list[Row]]]:
    """For each rank and each step its rows, lane after lane."""
    batches = lanes_of_batches(
        rows_in_order(plan, counts), plan.batch_size, plan.num_lanes, plan.num_steps
    )
    lanes_per_rank = plan.num_lanes // plan.num_ranks
    lanes_of_rank = [
        range(rank * lanes_per_rank, (rank + 1) * lanes_per_rank)
        for rank in range(plan.num_ranks)
    ]
    return [
        [[row for lane in lanes for row in batch[lane]] for batch in batches]
        for lanes in lanes_of_rank
    ]
