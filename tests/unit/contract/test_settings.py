"""What two builds of one directory may not differ in, and how a difference is told."""

from datetime import UTC, date, datetime

import pytest

from esmm_dist.contract.config import load_config
from esmm_dist.contract.errors import InputError
from esmm_dist.contract.features import fingerprint
from esmm_dist.contract.manifest import Day, EncodingsReference, Lesson, Manifest
from esmm_dist.contract.settings import (
    all_differences,
    check_settings,
    differences,
    other_readings,
    reading_of,
    settings_of,
)


def changed(*overrides: str) -> list[str]:
    """What the default config's settings become by overrides, told against the config itself."""
    before, after = settings_of(load_config()), settings_of(load_config(overrides=overrides))
    return differences(before, after)


def test_equal_settings_do_not_differ() -> None:
    assert changed() == []


def test_what_does_not_touch_labels_or_ids_may_differ() -> None:
    assert changed("samples.rows_per_file=77", "train.batch_size=5", "samples.path=other") == []


def test_a_changed_window_is_told_with_both_values() -> None:
    assert changed("samples.click_window_hours=48") == [
        "samples.click_window_hours is 48.0, built with 24.0"
    ]


def test_other_conversion_types_are_told_whatever_their_order() -> None:
    assert changed("logs.conversions.types=[like, follow]") == [
        'logs.conversions.types is ["follow", "like"], built with ["like"]'
    ]


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("logs.max_clock_skew_seconds=2", "logs.max_clock_skew_seconds is 2.0, built with 0.0"),
        ("logs.conversions.value=price", 'logs.conversions.value is "price", built with null'),
        ("logs.conversions.without_click=imply_click",
         'logs.conversions.without_click is "imply_click", built with "drop"'),
        ("logs.conversions.attribute_by=click_id",
         'logs.conversions.attribute_by is "click_id", built with "impression_id"'),
        ("logs.clicks.double_click_seconds=1",
         "logs.clicks.double_click_seconds is 1.0, built with null"),
        ("logs.clicks.bots={key: user_id, max_clicks: 5, interval_seconds: 60}",
         'logs.clicks.bots is {"key": "user_id", "max_clicks": 5, "interval_seconds": 60}, built '
         "with null"),
    ],
)
def test_a_changed_rule_of_labels_is_told(override: str, told: str) -> None:
    assert changed(override) == [told]


def test_what_makes_one_conversion_of_rows_is_told() -> None:
    assert changed("logs.conversions.conversion_id=order", "logs.conversions.repeat_hours=99") == [
        'logs.conversions.conversion_id is "order", built with null',
        "logs.conversions.repeat_hours is 99.0, built with null",
    ]


@pytest.mark.parametrize("log", ["clicks", "conversions"])
def test_other_keys_and_another_credit_are_told(log: str) -> None:
    first = {"clicks": "first_impression", "conversions": "first_click"}[log]
    source = f"path: x, attribute_by: keys, keys: [user_id], credit: {first}"
    told = changed(f"logs.{log}={{{source}}}", "logs.conversions.types=[like]")
    assert [line.partition(" is ")[0] for line in told] == [
        f"logs.{log}.attribute_by", f"logs.{log}.keys", f"logs.{log}.credit",
    ]


@pytest.mark.parametrize("log", ["clicks", "conversions"])
def test_keys_in_another_order_are_told(log: str) -> None:
    """Their order says which of two clicks at one instant is the later."""
    one, other = (
        settings_of(load_config(overrides=[
            f"logs.{log}={{path: x, attribute_by: keys, keys: [{keys}]}}",
            "logs.conversions.types=[like]",
        ])) for keys in ("user_id, tab", "tab, user_id")
    )
    assert differences(one, other) == [
        f'logs.{log}.keys is ["tab", "user_id"], built with ["user_id", "tab"]'
    ]


def test_a_changed_encoding_is_told_by_its_feature() -> None:
    (told,) = changed("features.user_id.encode.hash_size=64")
    assert told.startswith("features.user_id.encode is") and "64" in told and "32768" in told


def test_the_range_of_days_that_are_thinned_may_move() -> None:
    assert changed("samples.unclicked_rate=0.5") == [
        "samples.unclicked_rate is 0.5, built with 1.0"
    ]
    assert changed("samples.unclicked_days={first: 2022-04-24, last: 2022-04-30}") == []


@pytest.mark.parametrize(
    ("day", "rate", "undone", "is_refused"),
    [("2022-04-24", 1.0, "corrected", True), ("2022-04-24", 0.5, "corrected", False),
     ("2022-04-24", 1.0, "weighted", False), ("2022-04-24", None, "corrected", False),
     ("2022-05-05", 1.0, "corrected", False)],
)
def test_a_day_that_was_thinned_otherwise_cannot_be_corrected_by_the_same_shift(
    day: str, rate: float | None, undone: str, is_refused: bool
) -> None:
    config = load_config(overrides=["samples.unclicked_rate=0.5", f"train.unclicked={undone}"])
    instant = datetime(2026, 3, 1, tzinfo=UTC)
    built = Day(
        day=date.fromisoformat(day), build_id="b", built_at=instant, as_of=None, files=(),
        num_rows=1, num_clicks=1, num_conversions=0, first_event_time=instant,
        last_event_time=instant, counters={}, unclicked_rate=rate,
    )
    manifest = Manifest(
        number=7, created_at=instant, fingerprint=fingerprint(config.features),
        settings=settings_of(config), encodings=EncodingsReference(path="e", content_hash="e"),
        columns={}, shuffle_seed=0, days=(built,),
    )
    if not is_refused:
        check_settings(manifest, config, "here")
        return
    with pytest.raises(InputError, match=f"of {day} 1.0 of the un-clicked samples were kept, "
                                         "train.unclicked = corrected undoes 0.5"):
        check_settings(manifest, config, "here")


def test_other_columns_of_the_logs_are_told_as_they_are_read() -> None:
    before = reading_of(load_config())
    assert other_readings(before, reading_of(load_config(overrides=[
        "logs.clicks.columns={impression_id: impression_id}",
        "logs.snapshots=[{name: unused, path: p, key: k, ingest_time: t}]",
    ]))) == []
    after = reading_of(load_config(overrides=[
        "logs.conversions.columns={}", "logs.clicks.ingest_time=arrived",
        "logs.impressions.columns={user_id: uid}", "logs.impressions.partition=null",
    ]))
    assert other_readings(before, after) == [
        "logs.clicks.ingest_time is arrived, was not declared",
        "logs.conversions.columns.type is not declared, was event",
        "logs.impressions.columns.user_id is uid, was not declared",
        "logs.impressions.partition is not declared, was dt",
    ]


def test_how_late_rows_may_be_is_told() -> None:
    """In partitions of arrival a day that looks for later rows has other labels."""
    none, some, more = (
        reading_of(load_config(overrides=[f"samples.lateness_hours={hours}"]))
        for hours in (0, 6, 24)
    )
    assert other_readings(none, some) == ["samples.lateness_hours is 6.0, was not declared"]
    assert other_readings(more, some) == ["samples.lateness_hours is 6.0, was 24.0"]
    assert other_readings(reading_of(load_config()), none) == []


def test_a_snapshot_that_features_are_of_is_read_by_its_columns_too() -> None:
    snapshot = "logs.snapshots=[{name: users, path: p, key: user_id, ingest_time: t}]"
    config = load_config(overrides=[snapshot, "features.user_active_degree.source=users"])
    assert reading_of(config)["logs.snapshots.users.ingest_time"] == "t"


def test_new_and_missing_features_are_named() -> None:
    one = "{name: tab, group: context, kind: categorical, encode: {min_count: 10}}"
    new = "{name: fresh, group: context, kind: categorical, encode: {min_count: 10}}"
    told = changed(f"features=[{one}, {new}]")
    assert told[0] == "features fresh are new"
    assert told[1].startswith("features user_id, user_active_degree") and "gone" in told[1]


def test_readers_are_told_what_the_samples_they_read_were_built_with() -> None:
    config = load_config()
    manifest = Manifest(
        number=7, created_at=datetime(2026, 3, 1, tzinfo=UTC),
        fingerprint=fingerprint(config.features), settings=settings_of(config),
        encodings=EncodingsReference(path="e.json", content_hash="e"), columns={}, shuffle_seed=0,
        days=(),
    )
    check_settings(manifest, config, "here")
    other = load_config(overrides=["logs.conversions.types=[follow]"])
    with pytest.raises(InputError, match='here/_manifests/00000007.json.*"follow".*"like"'):
        check_settings(manifest, other, "here")
    unnoted = manifest.model_copy(update={"settings": {}, "fingerprint": "f" * 64})
    with pytest.raises(InputError, match="ffffffffffff"):
        check_settings(unnoted, config, "here")


def test_other_fit_days_than_ids_were_learned_from_are_told() -> None:
    config = load_config()
    learned = EncodingsReference(
        path="e.json", content_hash="e", fit_days=config.samples.fit_days
    )
    manifest = Manifest(
        number=7, created_at=datetime(2026, 3, 1, tzinfo=UTC),
        fingerprint=fingerprint(config.features), settings=settings_of(config), encodings=learned,
        columns={}, shuffle_seed=0, days=(),
    )
    assert all_differences(manifest, config) == []
    other = load_config(overrides=["samples.fit_days.last=2022-04-29"])
    with pytest.raises(InputError, match="samples.fit_days is 2022-04-24 to 2022-04-29, ids were "
                                         "learned from 2022-04-24 to 2022-04-30"):
        check_settings(manifest, other, "here")
    lesson = Lesson(content_hash="d", num_keys={}, fit_days=other.samples.fit_days,
                    learned_as_of=datetime(2022, 5, 1, tzinfo=UTC))
    grown = learned.model_copy(update={"lessons": (lesson, lesson.model_copy(update={
        "content_hash": "e", "learned_as_of": datetime(2022, 5, 9, tzinfo=UTC),
    }))})
    of_then = other.model_copy(update={"samples": other.samples.model_copy(
        update={"as_of": datetime(2022, 5, 8, tzinfo=UTC)}
    )})
    assert all_differences(manifest.model_copy(update={"encodings": grown}), of_then) == []
    unlearned = learned.model_copy(update={"fit_days": None})
    assert all_differences(manifest.model_copy(update={"encodings": unlearned}), other) == []
