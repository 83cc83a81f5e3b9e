"""Declarations that would show a model what came of an impression: refused before a row is read.

What no declaration tells, a value's own time does, and the build looks at that.
"""

import posixpath
import re
from collections.abc import Iterator, Sequence

from esmm_dist.contract.features import (
    CrossFeature,
    Feature,
    MultiValuedFeature,
    source_of,
    time_of,
)
from esmm_dist.contract.logs import Logs, SnapshotSource, TableSource

SCHEME = re.compile(r"\w[\w+.-]*:")
EVENT_TIME = "event_time"
TYPE = "type"
CLICK_ID = "click_id"


def check_leaks(features: Sequence[Feature], logs: Logs) -> None:
    """Refuses features made of outcomes or of events' times, and crosses with them, and snapshots
    that are a log of events.

    Raises:
        ValueError: names the feature, the column and why.
    """
    forbidden = _forbidden(logs)
    for feature in features:
        for column in _columns_read(feature, logs):
            if column in forbidden:
                raise ValueError(
                    f"the feature {feature.name!r} is made of the column {column!r}, "
                    f"{forbidden[column]}: a model would be shown what it has to predict, leave "
                    "the feature out"
                )
        if source_of(feature) is not None and time_of(feature) is not None:
            raise ValueError(
                f"the feature {feature.name!r} has a time and a source: values of a snapshot are "
                "of its event_time, leave time out"
            )
    for snapshot in logs.snapshots:
        _refuse_events(snapshot, logs)
        for column in (snapshot.key, _theirs(snapshot.key, logs.impressions)):
            if column in forbidden:
                raise ValueError(
                    f"the snapshot {snapshot.name!r} is looked up by the column {column!r}, "
                    f"{forbidden[column]}"
                )


def _refuse_events(snapshot: SnapshotSource, logs: Logs) -> None:
    """An event lies at its impression, or within the skew before it: the latest at or before an
    impression may be what came of it."""
    for name, log in {"clicks": logs.clicks, "conversions": logs.conversions}.items():
        if _lies_in(snapshot, log):
            raise ValueError(
                f"the snapshot {snapshot.name!r} lies at {snapshot.place}, where logs.{name} lies: "
                "it would hold an impression's own events, write what was known before it into a "
                "table of its own"
            )


def _lies_in(snapshot: TableSource, log: TableSource) -> bool:
    """Whether a snapshot reads the rows of a log, as far as their declarations tell."""
    if snapshot.table is not None or log.table is not None:
        return (snapshot.table or "").lower() == (log.table or "").lower()
    if snapshot.path is None or log.path is None:
        return snapshot.path == log.path and (
            (snapshot.format, snapshot.options) == (log.format, log.options)
        )
    own, whole = _plain(snapshot.path), _plain(log.path)
    return own == whole or own.startswith(f"{whole}/")


def _plain(path: str) -> str:
    """A path without what changes no place: a local scheme, doubled slashes, whole wildcards, and
    whether it is told from here or from the root."""
    plain = posixpath.normpath(path).removeprefix("file:")
    if not SCHEME.match(plain):
        plain = posixpath.abspath(plain)
    while plain.endswith("/*"):
        plain = plain.removesuffix("/*")
    return plain


def _forbidden(logs: Logs) -> dict[str, str]:
    """Columns of the impressions log that no feature may be made of, and why."""
    found = dict(_of_events(logs))
    found[EVENT_TIME] = "the time of the impression itself"
    for name, log in {"clicks": logs.clicks, "conversions": logs.conversions}.items():
        found.setdefault(_theirs(EVENT_TIME, log), f"the time of logs.{name}")
    found[_theirs(EVENT_TIME, logs.impressions)] = "the time of the impression itself"
    for outcome in logs.impressions.outcomes:
        for column in (outcome, _theirs(outcome, logs.impressions)):
            found[column] = "which logs.impressions.outcomes names"
    return found


def _of_events(logs: Logs) -> Iterator[tuple[str, str]]:
    """What only an event has: in impressions that were joined with their events already it is null
    where the label is 0."""
    conversions = logs.conversions
    if conversions.types:
        yield _theirs(TYPE, conversions), "which holds the type of logs.conversions"
    for key in ("value", "conversion_id"):
        name = getattr(conversions, key)
        if name is not None:
            for column in (name, _theirs(name, conversions)):
                yield column, f"which logs.conversions.{key} names"
    if conversions.attribute_by == CLICK_ID:
        for column in (CLICK_ID, _theirs(CLICK_ID, logs.clicks), _theirs(CLICK_ID, conversions)):
            yield column, "the id of a click"


def _columns_read(feature: Feature, logs: Logs) -> Iterator[str]:
    """What a feature reads of the impressions log, by our name and by the log's."""
    source = _impressions_read(feature, logs)
    if isinstance(feature, CrossFeature) or source is None:
        return
    ours = [feature.name]
    if isinstance(feature, MultiValuedFeature) and feature.weights is not None:
        ours.append(feature.weights)
    for name in ours:
        yield name
        yield _theirs(name, source)


def _impressions_read(feature: Feature, logs: Logs) -> TableSource | None:
    """The declaration by which a feature reads the impressions log: that log's, or the one of a
    snapshot that lies there, whose latest row at an impression is the impression itself."""
    name = source_of(feature)
    if name is None:
        return logs.impressions
    return next(
        (one for one in logs.snapshots if one.name == name and _lies_in(one, logs.impressions)),
        None,
    )


def _theirs(name: str, source: TableSource) -> str:
    return source.columns.get(name, name)
