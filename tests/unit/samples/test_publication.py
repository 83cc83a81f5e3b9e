"""How a build's days join those that another published meanwhile; no Spark."""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from itertools import pairwise
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esmm_dist.contract.config import load_config
from esmm_dist.contract.encodings import Encodings
from esmm_dist.contract.errors import InputError
from esmm_dist.contract.features import CrossFeature, HashEncoding, Kind
from esmm_dist.contract.manifest import Day, EncodingsReference, Manifest
from esmm_dist.contract.sections import Config
from esmm_dist.contract.settings import reading_of
from esmm_dist.samples.io import Store
from esmm_dist.samples.publication import publish, refuse_other_kinds, refuse_other_reading
from tests.unit.contract.conftest import MINIMAL

ENCODINGS = EncodingsReference(path="e.json", content_hash="e")


class Directory:
    """What `publish` asks of a store, in memory."""

    path = "samples"

    def __init__(self) -> None:
        self.manifests: list[Manifest] = []

    def latest(self) -> tuple[Manifest | None, int]:
        return self.manifests[-1] if self.manifests else None, 1 + len(self.manifests)

    def encodings(self, reference: EncodingsReference) -> Encodings:
        return Encodings(vocabularies={"city": (reference.content_hash,)})

    def publish(self, manifest: Manifest) -> bool:
        self.manifests.append(manifest)
        return True


def config_of(**samples: object) -> Config:
    """The small config, with some settings of its samples changed."""
    config = load_config(MINIMAL, ())
    return config.model_copy(update={"samples": config.samples.model_copy(update=samples)})


OLD, LATER = config_of(), config_of(lateness_hours=24.0)


def day_of(number: int, as_of: datetime | None = None) -> Day:
    instant = datetime(2024, 1, number, tzinfo=UTC)
    return Day(
        day=date(2024, 1, number), build_id="b", built_at=instant, as_of=as_of, known_by={},
        files=(), num_rows=0, num_clicks=0, num_conversions=0, first_event_time=instant,
        last_event_time=instant, counters={},
    )


@pytest.mark.parametrize(("name", "is_refused"), [("user_id", True), ("city", False)])
def test_texts_where_there_were_numbers_are_refused_if_they_hash_to_other_ids(
    name: str, is_refused: bool
) -> None:
    """A vocabulary knows both by one key."""
    config = config_of()
    assert {f.name: isinstance(f.encode, HashEncoding) for f in config.features}[name] is is_refused
    built = day_of(2).model_copy(update={"value_kinds": {name: "number"}})
    directory = Directory()
    published(directory, config, 1)
    manifest = directory.manifests[0].model_copy(update={"days": (day_of(1), built)})
    refuse_other_kinds(manifest, {name: "number"}, config)
    if not is_refused:
        refuse_other_kinds(manifest, {name: "text"}, config)
        return
    with pytest.raises(InputError, match="the values of user_id are texts in the log, those of "
                                         "2024-01-02 were numbers, which hash to other ids"):
        refuse_other_kinds(manifest, {name: "text"}, config)


def test_a_group_key_that_has_become_a_text_is_refused_by_its_name() -> None:
    """Else each user would be two: one of the days before, one of those after."""
    config = config_of()
    directory = Directory()
    published(directory, config, 1)
    built = day_of(2).model_copy(update={"value_kinds": {"group_id": "number"}})
    manifest = directory.manifests[0].model_copy(update={"days": (built,)})
    refuse_other_kinds(manifest, {"group_id": "number"}, config)
    with pytest.raises(InputError, match=r"values of samples.group_key \(user_id\) are texts"):
        refuse_other_kinds(manifest, {"group_id": "text"}, config)


def test_what_a_cross_hashes_counts_as_hashed() -> None:
    """Though by itself it has a vocabulary."""
    config = config_of()
    cross = CrossFeature(name="pair", kind=Kind.CROSS, of=("city", "age"),
                         encode=HashEncoding(hash_size=100))
    config = config.model_copy(update={"features": (*config.features, cross)})
    directory = Directory()
    published(directory, config, 1)
    built = day_of(2).model_copy(update={"value_kinds": {"city": "number"}})
    manifest = directory.manifests[0].model_copy(update={"days": (built,)})
    with pytest.raises(InputError, match="the values of city are texts in the log"):
        refuse_other_kinds(manifest, {"city": "text"}, config)


def published(
    directory: Directory, config: Config, number: int, starts_anew: bool = False
) -> list[int]:
    """Publishes a day; the days that the manifest then holds."""
    store = cast(Store, directory)
    manifest = publish(store, config, ENCODINGS, [day_of(number)], starts_anew)
    return [day.day.day for day in manifest.days]


def test_a_riper_day_that_was_published_meanwhile_stays() -> None:
    noon = datetime(2024, 1, 1, 12, tzinfo=UTC)
    directory, config = Directory(), config_of(as_of=noon)
    store = cast(Store, directory)
    publish(store, config, ENCODINGS, [day_of(1, datetime(2024, 1, 2, tzinfo=UTC))], False)
    younger = day_of(1, noon)
    with pytest.raises(InputError, match="2024-01-01 was built as of 2024-01-02.* riper"):
        publish(store, config, ENCODINGS, [younger], False)
    assert len(directory.manifests) == 1
    assert publish(store, config, ENCODINGS, [younger], False, goes_back=True).days == (younger,)


def test_ids_of_a_stranger_are_refused_by_their_keys() -> None:
    directory, config = Directory(), config_of()
    published(directory, config, 1)
    other = ENCODINGS.model_copy(update={"content_hash": "other"})
    with pytest.raises(InputError, match="other ids meanwhile: .*city .*'e' .*'other' .*again"):
        publish(cast(Store, directory), config, other, [day_of(2)], False)


@pytest.mark.parametrize(
    ("day", "renamed", "near"),
    [(1, True, 2), (2, True, 2), (3, True, 2), (4, False, 4), (5, False, 4), (5, True, None),
     (3, False, None)],
)
def test_a_day_is_read_as_the_one_before_it_was(
    day: int, renamed: bool, near: int | None
) -> None:
    """The column was renamed between the second and the fourth of January."""
    old, new = config_of(), config_of()
    source = new.logs.impressions.model_copy(update={"columns": {"city": "town"}})
    logs = new.logs.model_copy(update={"impressions": source})
    new = new.model_copy(update={"logs": logs})
    directory = Directory()
    for number, config in ((2, old), (4, new)):
        built = day_of(number).model_copy(update={"read_by": reading_of(config)})
        publish(cast(Store, directory), config, ENCODINGS, [built], False)
    asked = [date(2024, 1, day)]
    if near is None:
        refuse_other_reading(directory.manifests[-1], asked, new if renamed else old)
        return
    with pytest.raises(InputError, match=(
        f"2024-01-0{near} was built from logs read otherwise: .*columns.city.*--logs-changed"
    )):
        refuse_other_reading(directory.manifests[-1], asked, new if renamed else old)


@given(st.lists(st.tuples(st.integers(1, 9), st.booleans(), st.booleans()), max_size=12))
def test_who_declares_no_change_of_the_logs_adds_none_between_days(
    builds: list[tuple[int, bool, bool]]
) -> None:
    """Each is of a day, with the old or the new lateness, declared or not."""
    directory, read_by = Directory(), [reading_of(c) for c in (OLD, LATER)]
    published(directory, OLD, 5)
    (manifest,) = directory.manifests
    days = {5: day_of(5).model_copy(update={"read_by": read_by[0]})}
    for number, is_new, is_declared in builds:
        there = manifest.model_copy(update={"days": tuple(days[n] for n in sorted(days))})
        if not is_declared:
            try:
                refuse_other_reading(there, [date(2024, 1, number)], LATER if is_new else OLD)
            except InputError:
                continue
        before = num_changes(days)
        days[number] = day_of(number).model_copy(update={"read_by": read_by[is_new]})
        assert is_declared or num_changes(days) <= before


def num_changes(days: Mapping[int, Day]) -> int:
    """From one built day to the next."""
    in_order = [days[number].read_by for number in sorted(days)]
    return sum(one != other for one, other in pairwise(in_order))


def test_days_of_other_settings_that_began_on_an_empty_directory_too_are_refused_by_name() -> None:
    directory, other = Directory(), config_of(click_window_hours=7.0)
    published(directory, config_of(), 1)
    with pytest.raises(InputError, match="of other settings meanwhile: .*click_window_hours is 7"):
        published(directory, other, 2)
    assert len(directory.manifests) == 1
    assert published(directory, other, 2, starts_anew=True) == [2]


def test_days_of_the_same_settings_join_whatever_days_ids_are_learned_from() -> None:
    directory, config = Directory(), config_of()
    published(directory, config, 1)
    others = config.samples.fit_days.model_copy(update={"last": date(2024, 1, 2)})
    assert published(directory, config_of(fit_days=others), 2) == [1, 2]
