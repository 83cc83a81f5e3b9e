"""The settings that all days of one samples directory share, and their readers with them.

It reads no files and compares nothing learned from data.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from esmm_dist.contract.errors import InputError
from esmm_dist.contract.features import declared, fingerprint, source_of
from esmm_dist.contract.logs import TableSource
from esmm_dist.contract.manifest import Manifest, check_fingerprint
from esmm_dist.contract.sections import Config


def settings_of(config: Config) -> dict[str, Any]:
    """What ids and labels depend on, as manifests keep it."""
    samples, clicks, conversions = config.samples, config.logs.clicks, config.logs.conversions
    features = {feature.name: declared(feature) for feature in config.features}
    settings = {
        "logs.day_timezone": config.logs.day_timezone,
        "logs.max_clock_skew_seconds": config.logs.max_clock_skew_seconds,
        "logs.impressions.repeat_seconds": config.logs.impressions.repeat_seconds,
        "logs.clicks.attribute_by": clicks.attribute_by,
        "logs.clicks.keys": list(clicks.keys),
        "logs.clicks.credit": clicks.credit,
        "logs.clicks.bots": clicks.bots and clicks.bots.model_dump(),
        "logs.clicks.double_click_seconds": clicks.double_click_seconds,
        "logs.conversions.attribute_by": conversions.attribute_by,
        "logs.conversions.keys": list(conversions.keys),
        "logs.conversions.credit": conversions.credit,
        "logs.conversions.types": sorted(conversions.types),
        "logs.conversions.conversion_id": conversions.conversion_id,
        "logs.conversions.repeat_hours": conversions.repeat_hours,
        "logs.conversions.value": conversions.value,
        "logs.conversions.without_click": conversions.without_click,
        "samples.group_key": samples.group_key,
        "samples.click_window_hours": samples.click_window_hours,
        "samples.conversion_window_hours": samples.conversion_window_hours,
        "samples.label_stream": samples.label_stream,
        "samples.fake_negative_after_hours": samples.fake_negative_after_hours,
        "samples.shuffle_seed": samples.shuffle_seed,
        "samples.unclicked_rate": samples.unclicked_rate,
        "features": list(features),
    } | {
        f"logs.snapshots.{snapshot.name}.{key}": getattr(snapshot, key)
        for snapshot in config.logs.snapshots
        for key in ("key", "max_age_hours")
    } | {
        f"features.{name}.{key}": value
        for name, feature in features.items()
        for key, value in feature.items()
        if key != "name"
    }
    found: dict[str, Any] = json.loads(json.dumps(settings))
    return found


def check_settings(manifest: Manifest, config: Config, source: str) -> None:
    """Refuses samples whose ids or labels follow other rules than the config's.

    Raises:
        InputError: names the settings that differ, with both values.
    """
    found = [*all_differences(manifest, config), *_rates_not_undone(manifest, config)]
    if found:
        raise InputError(
            f"{source}/{manifest.path}: samples were built with other settings: "
            f"{'; '.join(found)}: rebuild the samples, or give the config they were built with"
        )
    check_fingerprint(manifest, fingerprint(config.features), source)


def _rates_not_undone(manifest: Manifest, config: Config) -> Iterator[str]:
    """One shift of the CTR undoes one rate: the days may have been built when the range of those
    that are thinned was another."""
    rate, learned = config.samples.unclicked_rate, config.learned_days
    if config.train.unclicked != "corrected":
        return
    for day in manifest.days:
        is_learned = learned.first <= day.day <= learned.last
        if is_learned and day.unclicked_rate not in (None, rate):
            yield (
                f"of {day.day} {day.unclicked_rate} of the un-clicked samples were kept, "
                f"train.unclicked = corrected undoes {rate}"
            )


def all_differences(manifest: Manifest, config: Config) -> list[str]:
    """How a config differs from what a manifest's days were built by, one text a difference."""
    found = differences(manifest.settings, settings_of(config))
    learned_from, asked = manifest.encodings.fit_days, config.samples.fit_days
    lesson = manifest.encodings.lesson_at(config.samples.as_of)
    of_then = None if lesson is None else lesson.fit_days  # the config of then says so too
    if learned_from is not None and asked not in (learned_from, of_then):
        found.append(
            f"samples.fit_days is {asked.first} to {asked.last}, ids were learned from "
            f"{learned_from.first} to {learned_from.last}"
        )
    return found


def reading_of(config: Config) -> dict[str, str]:
    """Which columns of the logs the build reads for what, and how late their rows may be, as each
    day keeps it: both may change from some day on."""
    used = {source_of(feature) for feature in config.features}
    tables: dict[str, TableSource] = {
        "logs.impressions": config.logs.impressions, "logs.clicks": config.logs.clicks,
        "logs.conversions": config.logs.conversions,
    } | {f"logs.snapshots.{table.name}": table for table in config.logs.snapshots
         if table.name in used}
    return {
        f"{key}.columns.{ours}": theirs
        for key, table in tables.items() for ours, theirs in table.columns.items()
        if ours != theirs
    } | {
        f"{key}.{name}": column
        for key, table in tables.items() for name in ("ingest_time", "partition")
        if (column := getattr(table, name, None)) is not None
    } | ({"samples.lateness_hours": str(lateness)} if (lateness := config.samples.lateness_hours)
         else {})


def other_readings(built: Mapping[str, str], asked: Mapping[str, str]) -> list[str]:
    """How the logs would be read otherwise than a day's were, one text a difference."""
    return [
        f"{key} is {asked.get(key, 'not declared')}, was {built.get(key, 'not declared')}"
        for key in sorted({*built, *asked}) if built.get(key) != asked.get(key)
    ]


def differences(built: Mapping[str, Any], asked: Mapping[str, Any]) -> list[str]:
    """How the settings asked for differ from those of an earlier build, one text a setting.

    A setting that the build did not note differs in nothing.
    """
    return list(_differences(built, asked)) if built else []


def _differences(built: Mapping[str, Any], asked: Mapping[str, Any]) -> Iterator[str]:
    before, after = built.get("features", []), asked["features"]
    added = [name for name in after if name not in before]
    removed = [name for name in before if name not in after]
    if added:
        yield f"features {', '.join(added)} are new"
    if removed:
        yield f"features {', '.join(removed)} are gone"
    if not added and not removed and before != after:
        yield "features stand in another order"
    for key in asked:
        is_known = key in built and key != "features"
        if is_known and built[key] != asked[key]:
            yield f"{key} is {_text(asked[key])}, built with {_text(built[key])}"


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
