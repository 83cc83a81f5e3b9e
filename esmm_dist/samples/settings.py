"""The settings that all days of one samples directory must share, and how two builds differ.

It reads no files and compares nothing learned from data.
"""

import json
from collections.abc import Iterator
from typing import Any

from esmm_dist.contract.sections import Config


def settings_of(config: Config) -> str:
    """What ids and labels depend on, as a JSON text that is kept beside a build's files."""
    samples = config.samples
    features = {feature.name: feature.model_dump(mode="json") for feature in config.features}
    settings = {
        "logs.day_timezone": config.logs.day_timezone,
        "logs.conversions.types": sorted(config.logs.conversions.types),
        "samples.group_key": samples.group_key,
        "samples.click_window_hours": samples.click_window_hours,
        "samples.conversion_window_hours": samples.conversion_window_hours,
        "samples.shuffle_seed": samples.shuffle_seed,
        "features": list(features),
    } | {
        f"features.{name}.{key}": value
        for name, feature in features.items()
        for key, value in feature.items()
        if key != "name"
    }
    return json.dumps(settings, indent=1, ensure_ascii=False) + "\n"


def differences(built: str, asked: str) -> list[str]:
    """How the settings asked for differ from those of an earlier build, one text a setting."""
    return list(_differences(json.loads(built), json.loads(asked)))


def _differences(built: dict[str, Any], asked: dict[str, Any]) -> Iterator[str]:
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
