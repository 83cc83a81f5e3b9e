"""Blocks as tables: the three logs in our names, and the truth, row by row as they were drawn.

Shape legend: N impressions of a block; M members.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from esmm_dist.simulation.fields import Column
from esmm_dist.simulation.identifiers import sample_ids
from esmm_dist.simulation.outcomes import Block
from esmm_dist.simulation.streams import Integers, Mask, Purpose, stream
from esmm_dist.simulation.world import World

IMPRESSION_ID, EVENT_TIME, INGEST_TIME = "impression_id", "event_time", "ingest_time"
CLICK_ID, TYPE = "click_id", "type"
USER_ID, ITEM_ID = "user_id", "item_id"
FILED_TIME = "filed_time"
"""An instant of the day under which a row is filed; not written."""
BLOCK_ROW = "block_row"
"""The row of the block that a row comes from; not written."""

INSTANT = pa.timestamp("us", tz="UTC")
MEAN_LATENCY_SECONDS = 5.0

TRUTH_SCHEMA = pa.schema([
    ("sample_id", pa.int64()), ("impression_id", pa.int64()),
    ("p_click", pa.float32()), ("p_conversion_do_click", pa.float32()),
    ("p_conversion_given_click", pa.float32()),
    ("potential_conversion", pa.int8()), ("click", pa.int8()), ("conversion", pa.int8()),
])


@dataclass(frozen=True)
class Logs:
    """Rows of the three logs."""

    impressions: pa.Table
    clicks: pa.Table
    conversions: pa.Table


def instants(time_N: Integers, is_null_N: Mask | None = None) -> pa.Array:
    """Microseconds as instants in UTC."""
    return pa.array(time_N, pa.int64(), mask=is_null_N).cast(INSTANT)


def truth_table(block: Block) -> pa.Table:
    """What no model may see."""
    columns = [
        sample_ids(block.impression_id_N), block.impression_id_N,
        block.p_click_N.astype(np.float32), block.p_conversion_do_click_N.astype(np.float32),
        block.p_conversion_given_click_N.astype(np.float32),
        block.potential_conversion_N.view(np.int8), block.click_N.view(np.int8),
        block.conversion_N.view(np.int8),
    ]
    return pa.table([pa.array(column) for column in columns], schema=TRUTH_SCHEMA)


def log_tables(world: World, block: Block, end_of_logs: int) -> Logs:
    """The clean rows of the three logs.

    Args:
        end_of_logs: later events are not in the logs, in microseconds.
    """
    simulation = world.simulation
    rng = stream(simulation.seed, Purpose.CROSS_FIELDS, world.days[block.day_number].toordinal(),
                 2**32 + block.block)
    impressions = {
        IMPRESSION_ID: pa.array(block.impression_id_N),
        **_event_times(block.time_N, rng),
        BLOCK_ROW: pa.array(np.arange(len(block.time_N))),
        **_features(world, block, rng),
    }
    row_N = np.flatnonzero(block.click_N)
    clicks = _events(world, block, row_N, block.click_time_N[row_N], rng)
    is_logged_N = block.click_N & block.converts_N & (block.conversion_time_N < end_of_logs)
    row_N = np.flatnonzero(is_logged_N)
    conversions = _events(world, block, row_N, block.conversion_time_N[row_N], rng)
    return Logs(pa.table(impressions), clicks, conversions)


def _event_times(time_N: Integers, rng: np.random.Generator) -> dict[str, pa.Array]:
    latency_N = rng.standard_exponential(len(time_N), np.float32) * (MEAN_LATENCY_SECONDS * 1e6)
    return {EVENT_TIME: instants(time_N), INGEST_TIME: instants(time_N + latency_N.astype(int)),
            FILED_TIME: instants(time_N)}


def _events(
    world: World, block: Block, row_N: Integers, time_N: Integers, rng: np.random.Generator
) -> pa.Table:
    """An event log's rows; an impression has one click at most, which its id names too."""
    impression_id_N = block.impression_id_N[row_N]
    return pa.table({
        IMPRESSION_ID: pa.array(impression_id_N),
        **_event_times(time_N, rng),
        BLOCK_ROW: pa.array(row_N),
        CLICK_ID: pa.array(sample_ids(impression_id_N)),
        USER_ID: pa.array(world.user_id_M[block.shown.user_N[row_N]]),
        ITEM_ID: pa.array(world.item_id_M[block.shown.item_N[row_N]]),
    })


def _features(world: World, block: Block, rng: np.random.Generator) -> dict[str, pa.Array]:
    """The impressions' columns of fields, in order of declaration."""
    shown = block.shown
    columns = {
        USER_ID: pa.array(np.take(world.user_id_M, shown.user_N)),
        ITEM_ID: pa.array(np.take(world.item_id_M, shown.item_N)),
    }
    for field in world.simulation.fields:
        name = field.name
        if name in world.user_columns:
            columns[name] = _array(world.user_columns[name].of(shown.user_N))
        elif name in world.item_columns:
            columns[name] = _array(world.item_columns[name].of(shown.item_N))
        elif name in world.contexts:
            context = world.contexts[name]
            columns[name] = _array(context.column(shown.context_N[name], rng))
        elif name in world.crosses:
            columns[name] = _array(world.crosses[name].column(
                shown.click_product_N, shown.conversion_product_N, rng))
        elif name in world.item_lists:
            columns[name] = world.item_lists[name].take(pa.array(shown.item_N))
    return columns


def _array(column: Column) -> pa.Array:
    return pa.array(column.value_M, mask=column.is_null_M)
