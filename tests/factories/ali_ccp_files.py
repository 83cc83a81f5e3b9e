"""Files of exactly the raw Ali-CCP form, of any size, the same for the same seed.

Ids follow a power law, so that some are frequent and many are rare; rows of one common index stand
together, as in the real files.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

SINGLE_COMMON = ("101", "121", "122", "124", "125", "126", "127", "128", "129")
LISTS_COMMON = ("109_14", "110_14", "127_14", "150_14")
SINGLE_OWN = ("205", "206", "207", "216", "301")
VALUED_OWN = ("508", "509", "702")
LISTS_OWN = ("210", "853")
NUM_IDS = {"101": 40, "205": 60, "301": 3, "121": 5, "122": 4}

Feature = tuple[str, str, str]
"""Field, id, value."""


@dataclass
class RawRow:
    """One line of a skeleton file."""

    sample_id: int
    click: int
    conversion: int
    index: str
    features: list[Feature]


@dataclass
class RawHalf:
    """Both files of one half."""

    rows: list[RawRow] = field(default_factory=list)
    common: dict[str, list[Feature]] = field(default_factory=dict)


def raw_half(seed: int, num_rows: int, num_common: int, illegal_share: float = 0.01) -> RawHalf:
    """A half with about `illegal_share` conversions without a click."""
    rng = random.Random(seed)
    half = RawHalf()
    for number in range(num_common):
        half.common[f"{seed:02d}{number:06x}"] = [*_features(rng, SINGLE_COMMON, LISTS_COMMON, ())]
    indices = sorted(rng.choice(list(half.common)) for _ in range(num_rows))
    for number, index in enumerate(indices):
        click = int(rng.random() < 0.3)
        conversion = int(click and rng.random() < 0.3)
        if rng.random() < illegal_share:
            click, conversion = 0, 1
        own = [*_features(rng, SINGLE_OWN, LISTS_OWN, VALUED_OWN)]
        half.rows.append(RawRow(number + 1, click, conversion, index, own))
    return half


def _features(
    rng: random.Random, singles: tuple[str, ...], lists: tuple[str, ...], valued: tuple[str, ...]
) -> Iterator[Feature]:
    for name in singles:
        if rng.random() < 0.95:
            yield name, _id(rng, name), "1.0"
    for name in valued:
        if rng.random() < 0.5:
            yield name, _id(rng, name), _value(rng)
    for name in lists:
        for _ in range(rng.choice((0, 1, 3, 12))):
            yield name, _id(rng, name), _value(rng)


def _id(rng: random.Random, name: str) -> str:
    """Ids are global over fields: each field has a range of its own."""
    count = NUM_IDS.get(name, 30)
    return str(10_000 * (1 + int(name.partition("_")[0])) + int(count * rng.random() ** 2))


def _value(rng: random.Random) -> str:
    return f"{rng.uniform(0.08, 8.2):.5f}"


def feature_list(features: list[Feature]) -> str:
    """Features as a line holds them."""
    return "\x01".join(f"{name}\x02{id_}\x03{value}" for name, id_, value in features)


def skeleton_line(row: RawRow) -> str:
    """A line of sample_skeleton_*.csv."""
    return (f"{row.sample_id},{row.click},{row.conversion},{row.index},{len(row.features)},"
            f"{feature_list(row.features)}")


def write_half(folder: Path, name: str, half: RawHalf) -> None:
    """Writes both files of a half, `train` or `test`."""
    folder.mkdir(parents=True, exist_ok=True)
    skeleton = "".join(skeleton_line(row) + "\n" for row in half.rows)
    common = "".join(
        f"{index},{len(features)},{feature_list(features)}\n"
        for index, features in half.common.items()
    )
    (folder / f"sample_skeleton_{name}.csv").write_text(skeleton)
    (folder / f"common_features_{name}.csv").write_text(common)
