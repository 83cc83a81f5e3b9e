"""What a samples directory already holds, and how built days join it; it builds nothing.

Days of one directory follow the same rules, and whoever publishes second keeps what the first did.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime

from esmm_dist.contract.encodings import differences as differences_of_ids
from esmm_dist.contract.errors import InputError
from esmm_dist.contract.features import CrossFeature, HashEncoding, fingerprint
from esmm_dist.contract.manifest import Day, EncodingsReference, Manifest, SampleColumn
from esmm_dist.contract.schema import GROUP_ID, sample_columns
from esmm_dist.contract.sections import Config
from esmm_dist.contract.settings import (
    all_differences,
    differences,
    other_readings,
    reading_of,
    settings_of,
)
from esmm_dist.contract.value_kinds import ValueKind
from esmm_dist.samples.io import Store, now
from esmm_dist.samples.ripening import refuse_riper

LONG_AGO = datetime(1, 1, 1, tzinfo=UTC)


def refuse_other_settings(manifest: Manifest, config: Config, appends: bool) -> None:
    """Days built under different rules do not belong into one directory.

    Args:
        appends: whether ids are to be learned from other days too.

    Raises:
        InputError: names the settings that differ, with both values.
    """
    if appends:
        found = differences(manifest.settings, settings_of(config))
    else:
        found = all_differences(manifest, config)
    if not found and manifest.fingerprint != fingerprint(config.features):
        found = [f"features are those of {manifest.fingerprint[:12]}"]
    if found:
        raise InputError(
            f"{config.samples.path}: its days were built with other settings: {'; '.join(found)}: "
            "give another samples.path, or --refit to start anew with the days asked for"
        )


def refuse_other_reading(manifest: Manifest, days: Iterable[date], config: Config) -> None:
    """Refuses to read columns of other names than those that a day was built from, or if it is a
    new one, the day before it; the first days are held to the one after them. So too if rows may
    be more or less late: one of both days would look for them where the other does not.

    One day is enough: what passes adds no change of reading from one built day to the next, so that
    every change there is was declared once.

    Raises:
        InputError: names that day, and what differs.
    """
    for day in days:
        before = [built for built in manifest.days if built.day <= day]
        near = [*before[-1:], *manifest.days[:1]][:1]
        for there in near:
            found = other_readings(there.read_by or {}, reading_of(config))
            if there.read_by is not None and found:
                raise InputError(
                    f"{config.samples.path}: {there.day} was built from logs read otherwise: "
                    f"{'; '.join(found)}: correct the config, or say --logs-changed if the logs "
                    f"have changed by {day}"
                )


def refuse_other_kinds(
    manifest: Manifest, kinds: Mapping[str, ValueKind], config: Config
) -> None:
    """Refuses texts where other days have numbers, or the reverse: the same value would hash to
    another id, and nothing would look wrong; a user would be another one on these days.

    Raises:
        InputError: names the feature, or the group key, the day and what either has.
    """
    crossed = {name for f in config.features if isinstance(f, CrossFeature) for name in f.of}
    hashed = {f.name for f in config.features if isinstance(f.encode, HashEncoding)}
    hashed |= crossed | {GROUP_ID}
    for day in manifest.days:
        for name, kind in (day.value_kinds or {}).items():
            if name in hashed and kinds.get(name, kind) != kind:
                told = name
                if name == GROUP_ID:
                    told = f"samples.group_key ({config.samples.group_key})"
                raise InputError(
                    f"{config.samples.path}: the values of {told} are {kinds[name]}s in the log, "
                    f"those of {day.day} were {kind}s, which hash to other ids: write the log as "
                    "before, or --refit to start anew with the days asked for"
                )


def publish(
    store: Store, config: Config, reference: EncodingsReference, built: Sequence[Day],
    starts_anew: bool, replaced: Sequence[Day] = (), goes_back: bool = False,
) -> Manifest:
    """Merges days into the latest manifest, again and again if others publish meanwhile.

    Args:
        starts_anew: the manifest holds these days and no others.
        replaced: days that the built ones were made from; they leave the manifest.
        goes_back: days that are riper are replaced too.

    Raises:
        InputError: another build has published days of other settings or with other ids meanwhile,
            or one of those that are replaced, or riper ones.
    """
    while True:
        latest, number = store.latest()
        kept: tuple[Day, ...] = ()
        if latest is not None and not starts_anew:
            # What was learned from where is in the encodings' descent: appending may change it.
            found = differences(latest.settings, settings_of(config))
            if found:
                raise InputError(
                    f"{store.path}: another build has published days of other settings meanwhile: "
                    f"{'; '.join(found)}: give another samples.path, or --refit to start anew"
                )
            joined = _later_of(latest.encodings, reference)
            if latest.fingerprint != fingerprint(config.features):
                raise InputError(
                    f"{store.path}: another build has published other features meanwhile: run this "
                    "one again"
                )
            if joined is None:
                found = differences_of_ids(
                    store.encodings(latest.encodings), store.encodings(reference)
                )
                raise InputError(
                    f"{store.path}: another build has published other ids meanwhile: "
                    f"{'; '.join(found)}: run this one again"
                )
            reference = joined
            _refuse_newer(latest, replaced, store.path)
            kept = tuple(day for day in latest.days if day not in replaced)
            if not goes_back:
                refuse_riper(kept, [day.day for day in built], config)
        days = {day.day: day for day in (*kept, *built)}
        manifest = Manifest(
            number=number,
            created_at=now(),
            fingerprint=fingerprint(config.features),
            settings=settings_of(config),
            encodings=reference,
            columns={
                name: SampleColumn(type=kind)
                for name, kind in sample_columns(config).items()
            },
            shuffle_seed=config.samples.shuffle_seed,
            days=tuple(days[day] for day in sorted(days)),
        )
        if store.publish(manifest):
            return manifest


def _refuse_newer(latest: Manifest, replaced: Sequence[Day], source: str) -> None:
    """What was made from a day must not take the place of a newer build of it."""
    for day in replaced:
        if day not in latest.days:
            raise InputError(
                f"{source}: {day.day} was built again meanwhile: nothing is published: run this "
                "again"
            )


def _later_of(one: EncodingsReference, other: EncodingsReference) -> EncodingsReference | None:
    """The one that appended to the other, by which the ids of both can be read; None if neither."""
    if one.content_hash == other.content_hash:
        return max(one, other, key=lambda reference: reference.learned_as_of or LONG_AGO)
    if one.descends_from(other):
        return one
    return other if other.descends_from(one) else None
