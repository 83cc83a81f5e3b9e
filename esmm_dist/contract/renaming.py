"""Which columns of a log a config may call by another name: those that something reads.

A name mistyped there renames nothing: where the log has a column of the right name too, that one
would be read, and nothing would look wrong.
"""

from collections.abc import Iterator, Sequence
from difflib import get_close_matches

from esmm_dist.contract.features import (
    CrossFeature,
    Feature,
    MultiValuedFeature,
    source_of,
    time_of,
)
from esmm_dist.contract.logs import Logs, TableSource
from esmm_dist.contract.scoring import Score

OF_IMPRESSIONS = ("impression_id", "event_time")
# Whatever an event is attributed by: a log may hold more ids than one.
OF_CLICKS = (*OF_IMPRESSIONS, "click_id")
OF_CONVERSIONS = (*OF_CLICKS, "type")


def check_renaming(
    features: Sequence[Feature], logs: Logs, group_key: str, score: Score
) -> None:
    """Refuses columns that are given another name by which nothing reads them.

    Raises:
        ValueError: names the section, the name, and the one that may be meant.
    """
    for key, source, read in _tables(features, logs, group_key, score):
        for ours, theirs in source.columns.items():
            if ours not in read:
                raise ValueError(
                    f"{key}.columns names {ours!r}, which nothing reads: "
                    f"{_hint(ours, theirs, read)}"
                )


def _hint(ours: str, theirs: str, read: Sequence[str]) -> str:
    if theirs in read:
        return f"our name comes first, write {{{theirs}: {ours}}}"
    close = get_close_matches(ours, read, n=1)
    known = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(sorted(read))}"
    return f"{known}; leave out what is not needed"


def _tables(
    features: Sequence[Feature], logs: Logs, group_key: str, score: Score
) -> Iterator[tuple[str, TableSource, Sequence[str]]]:
    """Each table by its key in the config, with the names by which its columns are read."""
    clicks, conversions = logs.clicks, logs.conversions
    shown = [
        *OF_IMPRESSIONS, *_columns_of(features, None), *score.keys,
        *[snapshot.key for snapshot in logs.snapshots],
    ]
    yield "logs.impressions", logs.impressions, [
        *shown, group_key, *clicks.keys, *logs.impressions.outcomes,
    ]
    if score.impressions is not None:
        yield "score.impressions", score.impressions, shown
    yield "logs.clicks", clicks, [
        *OF_CLICKS, *clicks.keys, *conversions.keys, *([clicks.bots.key] if clicks.bots else []),
    ]
    yield "logs.conversions", conversions, [
        *OF_CONVERSIONS, *conversions.keys,
        *_named(conversions.conversion_id), *_named(conversions.value),
    ]
    for snapshot in logs.snapshots:
        yield f"logs.snapshots.{snapshot.name}", snapshot, [
            "event_time", snapshot.key, *_columns_of(features, snapshot.name),
        ]


def _columns_of(features: Sequence[Feature], source: str | None) -> Iterator[str]:
    """What features read of a snapshot, or of the impressions."""
    for feature in features:
        if isinstance(feature, CrossFeature) or source_of(feature) != source:
            continue
        yield feature.name
        yield from _named(time_of(feature))
        if isinstance(feature, MultiValuedFeature):
            yield from _named(feature.weights)


def _named(name: str | None) -> tuple[str, ...]:
    return () if name is None else (name,)
