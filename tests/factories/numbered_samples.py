"""Sample files and their manifest, written for tests straight from NumPy, without Spark.

Every row can be told from every other: its ids follow from its sample id by `expected_row`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from esmm_dist.contract.features import (
    CategoricalFeature,
    Feature,
    Group,
    HashEncoding,
    Kind,
    MultiValuedFeature,
    fingerprint,
    weights_column,
)
from esmm_dist.contract.manifest import (
    Day,
    EncodingsReference,
    Manifest,
    SampleColumn,
    SampleFile,
)
from esmm_dist.contract.schema import column_types

NOW = datetime(2026, 1, 1, tzinfo=UTC)
FIRST_DAY = date(2025, 12, 1)

_HASH = HashEncoding(hash_size=1000)
FEATURES: tuple[Feature, ...] = (
    CategoricalFeature(name="user", group=Group.USER, encode=_HASH),
    MultiValuedFeature(name="tags", kind=Kind.MULTI_VALUED, group=Group.ITEM, encode=_HASH),
    CategoricalFeature(name="item", group=Group.ITEM, encode=_HASH),
    MultiValuedFeature(name="words", kind=Kind.MULTI_VALUED, group=Group.ITEM, encode=_HASH,
                       weights="word_counts"),
    CategoricalFeature(name="item_2", group=Group.ITEM, encode=_HASH),
)


@dataclass(frozen=True)
class ExpectedRow:
    """What a batch must hold of a row, all of it derived from the sample id."""

    ids: tuple[int, ...]
    bags: tuple[tuple[int, ...], ...]
    weights: tuple[tuple[float, ...] | None, ...]
    """Of the ids of each bag; none where the feature has no weights."""
    click: int
    conversion: int
    weight: float
    group_id: int
    click_delay_s: int
    conversion_delay_s: int
    observed_s: int
    mature: int


def expected_row(sample_id: int, features: Sequence[Feature] = FEATURES) -> ExpectedRow:
    """The row of a sample id."""
    bags = [f for f in features if isinstance(f, MultiValuedFeature)]
    ids_of_bag = tuple(
        tuple(range(sample_id + place, sample_id + place + (sample_id + place) % 4))
        for place, feature in enumerate(features) if feature in bags
    )
    return ExpectedRow(
        ids=tuple(
            (sample_id * 31 + place * 7919) % 2**31
            for place, feature in enumerate(features) if feature not in bags
        ),
        bags=ids_of_bag,
        weights=tuple(
            None if bag.weights is None else tuple(i % 9 / 4 - 1 for i in ids)
            for bag, ids in zip(bags, ids_of_bag)
        ),
        click=int(sample_id % 3 == 0),
        conversion=int(sample_id % 6 == 0),
        weight=1.0 + sample_id % 5 / 4,
        group_id=-(sample_id % 11),
        click_delay_s=sample_id % 7 if sample_id % 3 == 0 else -1,
        conversion_delay_s=sample_id % 13 if sample_id % 6 == 0 else -1,
        observed_s=sample_id % 17,
        mature=int(sample_id % 4 > 0),
    )


def expected_weights(rows: Sequence[ExpectedRow], place: int) -> list[float] | None:
    """The weights of the ids of a bag of FEATURES, row by row; None where it has none."""
    bag = [feature for feature in FEATURES if isinstance(feature, MultiValuedFeature)][place]
    return None if bag.weights is None else [w for row in rows for w in row.weights[place] or ()]


def sample_table(sample_ids: range, features: Sequence[Feature] = FEATURES) -> pa.Table:
    """The rows of some sample ids as a file of samples holds them."""
    rows = [expected_row(sample_id, features) for sample_id in sample_ids]
    columns: dict[str, Any] = {
        "sample_id": list(sample_ids),
        "group_id": [row.group_id for row in rows],
        "click": [row.click for row in rows],
        "conversion": [row.conversion for row in rows],
        "weight": [row.weight for row in rows],
        "click_delay_s": [row.click_delay_s for row in rows],
        "conversion_delay_s": [row.conversion_delay_s for row in rows],
        "observed_s": [row.observed_s for row in rows],
        "mature": [row.mature for row in rows],
    }
    num_bags = num_singles = 0
    for feature in features:
        if isinstance(feature, MultiValuedFeature):
            bags = [row.bags[num_bags] for row in rows]
            columns[feature.name] = [np.array(bag, "<i4").tobytes() for bag in bags]
            if feature.weights is not None:
                weights = [row.weights[num_bags] for row in rows]
                columns[weights_column(feature)] = [np.array(w, "<f4").tobytes() for w in weights]
            num_bags += 1
        else:
            columns[feature.name] = [row.ids[num_singles] for row in rows]
            num_singles += 1
    types = column_types(features)
    return pa.table({
        name: pa.array(columns[name], pa.type_for_alias(type_)) for name, type_ in types.items()
    })


def write_samples(
    folder: Path, file_sizes_by_day: Sequence[Sequence[int]],
    features: Sequence[Feature] = FEATURES,
) -> Manifest:
    """Writes days of samples whose ids count from 0, and the manifest that lists them."""
    days = []
    first = 0
    for number, sizes in enumerate(file_sizes_by_day):
        day = FIRST_DAY + timedelta(days=number)
        files = []
        for place, size in enumerate(sizes):
            table = sample_table(range(first, first + size), features)
            files.append(write_file(folder, f"day={day}/part-{place:05d}.parquet", table))
            first += size
        days.append(_day(day, files))
    manifest = make_manifest(days, features)
    path = folder / manifest.path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(manifest.model_dump_json(), encoding="utf-8")
    return manifest


def write_file(folder: Path, path: str, table: pa.Table, **options: Any) -> SampleFile:
    """Writes one file and says what the manifest must say of it."""
    target = folder / path
    target.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, target, **options)
    return SampleFile(path=path, num_rows=table.num_rows, num_bytes=target.stat().st_size)


def make_manifest(days: Sequence[Day], features: Sequence[Feature] = FEATURES) -> Manifest:
    """A manifest of some days."""
    columns: Mapping[str, str] = column_types(features)
    return Manifest(
        number=1, created_at=NOW, fingerprint=fingerprint(features),
        encodings=EncodingsReference(path="_encodings/none.json", content_hash="none"),
        columns={name: SampleColumn(type=type_) for name, type_ in columns.items()},
        shuffle_seed=0, days=tuple(days),
    )


def _day(day: date, files: Sequence[SampleFile]) -> Day:
    return Day(
        day=day, build_id="build", built_at=NOW, as_of=None, files=tuple(files),
        num_rows=sum(file.num_rows for file in files), num_clicks=0, num_conversions=0,
        first_event_time=NOW, last_event_time=NOW, counters={},
    )
