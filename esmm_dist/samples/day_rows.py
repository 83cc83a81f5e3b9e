"""Every row of the logs that some days see, from frames of logs to rows of the wire.

It puts in order what other modules do, and decides nothing itself.
"""

from collections.abc import Mapping, Sequence
from datetime import date

from pyspark.sql import DataFrame

from esmm_dist.contract.encodings import Encodings
from esmm_dist.contract.sections import Config
from esmm_dist.labelling.wire import NO_VALUE_OF
from esmm_dist.samples.days import Calendar
from esmm_dist.samples.encoding import encode
from esmm_dist.samples.events import events_seen
from esmm_dist.samples.filing import impressions_before, own_impressions
from esmm_dist.samples.io import LogFrames
from esmm_dist.samples.packing import pack_events, pack_impressions
from esmm_dist.samples.schedule import Windows, repeat_span
from esmm_dist.samples.snapshots import as_they_stood


def impressions_of(
    days: Sequence[date], frames: LogFrames, snapshots: Mapping[str, DataFrame], config: Config
) -> DataFrame:
    """The impressions filed under the days, with the features of the snapshots."""
    calendar = Calendar.of(config.logs.day_timezone)
    return as_they_stood(
        own_impressions(frames.impressions, days, calendar),
        snapshots, config.logs.snapshots, calendar.end(max(days)),
    )


def impressions_and_before(
    days: Sequence[date], frames: LogFrames, snapshots: Mapping[str, DataFrame], config: Config
) -> DataFrame:
    """The same, and those shown so shortly before one of the days that they may be its own."""
    calendar = Calendar.of(config.logs.day_timezone)
    before = impressions_before(frames.impressions, days, calendar, repeat_span(config))
    return impressions_of(days, frames, snapshots, config).unionByName(
        before, allowMissingColumns=True
    )


def rows_of_days(
    frames: LogFrames,
    snapshots: Mapping[str, DataFrame],
    config: Config,
    days: Sequence[date],
    encodings: Encodings,
    large_vocabularies: Mapping[str, DataFrame],
) -> DataFrame:
    """Every row of the logs that each of the days sees, as rows of the wire with their day.

    Args:
        frames: canonical logs.
        snapshots: canonical snapshots by name.
        large_vocabularies: as `encode` takes them.
    """
    calendar, windows = Calendar.of(config.logs.day_timezone), Windows.of(days, config)
    impressions = encode(
        impressions_of(days, frames, snapshots, config),
        config.features, encodings, large_vocabularies,
    )
    clicks, conversions = events_seen(frames, config.logs, windows, calendar)
    told = {*clicks.columns, *conversions.columns}
    of_events = [name for name in NO_VALUE_OF if name in told]
    rows = pack_impressions(impressions, config.features, of_events)
    before = impressions_before(frames.impressions, days, calendar, repeat_span(config))
    for events in (before, clicks, conversions):
        rows = rows.unionByName(pack_events(events, config.features, of_events))
    return rows
