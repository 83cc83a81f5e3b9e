"""Declarations that would show a model what came of an impression: refused before a row is read.

What no declaration tells, a value's own time does, and the build looks at that.
"""

from collections.abc import Iterator, Sequence

from esmm_dist.contract.features import (
    CrossFeature,
    Feature,
    MultiValuedFeature,
    source_of,
    time_of,
)
from esmm_dist.contract.logs import Logs, TableSource

EVENT_TIME = "event_time"


def check_leaks(features: Sequence[Feature], logs: Logs) -> None:
    """Refuses features made of outcomes or of events' times, and crosses with them.

    Raises:
        ValueError: names the feature, the column and why.
    """
    forbidden = _forbidden(logs)
    for feature in features:
        for column in _columns_read(feature, logs):
            if column in forbidden:
                raise ValueError(
                    f"the feature {feature.name!r} is made of the column {column!r}, "
                    f"{forbidden[column]}: a model would be shown what it has to predict"
                )
        if source_of(feature) is not None and time_of(feature) is not None:
            raise ValueError(
                f"the feature {feature.name!r} has a time and a source: values of a snapshot are "
                "of its event_time, leave time out"
            )
    for snapshot in logs.snapshots:
        for column in (snapshot.key, _theirs(snapshot.key, logs.impressions)):
            if column in forbidden:
                raise ValueError(
                    f"the snapshot {snapshot.name!r} is looked up by the column {column!r}, "
                    f"{forbidden[column]}"
                )


def _forbidden(logs: Logs) -> dict[str, str]:
    """Columns of the impressions log that no feature may be made of, and why."""
    found = {EVENT_TIME: "the time of the impression itself"}
    for name, log in {"clicks": logs.clicks, "conversions": logs.conversions}.items():
        found.setdefault(_theirs(EVENT_TIME, log), f"the time of logs.{name}")
    found[_theirs(EVENT_TIME, logs.impressions)] = "the time of the impression itself"
    for outcome in logs.impressions.outcomes:
        for column in (outcome, _theirs(outcome, logs.impressions)):
            found[column] = "which logs.impressions.outcomes names"
    return found


def _columns_read(feature: Feature, logs: Logs) -> Iterator[str]:
    """What a feature reads of the impressions log, by our name and by the log's."""
    if isinstance(feature, CrossFeature) or source_of(feature) is not None:
        return
    ours = [feature.name]
    if isinstance(feature, MultiValuedFeature) and feature.weights is not None:
        ours.append(feature.weights)
    for name in ours:
        yield name
        yield _theirs(name, logs.impressions)


def _theirs(name: str, source: TableSource) -> str:
    return source.columns.get(name, name)
