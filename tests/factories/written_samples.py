"""Samples written without Spark: random rows of a small declaration, with their manifest.

Clicks and conversions follow a logistic law of the first features, so that there is something to
learn. For tests of what comes after the builder; the builder's own tests use the builder.
"""

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq
import yaml
from numpy.typing import NDArray

from esmm_dist.contract.config import parse_config
from esmm_dist.contract.encodings import Encodings, num_rows_of_feature
from esmm_dist.contract.features import MultiValuedFeature, fingerprint
from esmm_dist.contract.manifest import (
    ENCODINGS,
    MANIFESTS,
    Day,
    EncodingsReference,
    Manifest,
    SampleColumn,
    SampleFile,
)
from esmm_dist.contract.schema import FAKE_NEGATIVE, NO_DELAY_S, column_types, sample_columns
from esmm_dist.contract.sections import Config

FIRST_DAY = date(2024, 1, 1)
BUILD_ID = "written"


def small_document(path: Path, num_train_days: int = 2, num_test_days: int = 1) -> dict[str, Any]:
    """A config of five features whose samples and runs lie below `path`, as YAML would give it."""
    log = {"path": str(path / "logs")}
    last_train_day = FIRST_DAY + timedelta(days=num_train_days - 1)
    train_days = {"first": FIRST_DAY, "last": last_train_day}
    test_days = {
        "first": last_train_day + timedelta(days=1),
        "last": last_train_day + timedelta(days=num_test_days),
    }
    return {
        "name": "small",
        "runs_path": str(path / "runs"),
        "logs": {"impressions": log, "clicks": log, "conversions": log},
        "samples": {
            "path": str(path / "samples"),
            "days": {"first": FIRST_DAY, "last": test_days["last"]},
            "fit_days": train_days,
        },
        "features": [
            {"name": "user_id", "group": "user", "kind": "categorical",
             "encode": {"hash_size": 5000}},
            {"name": "age", "group": "user", "kind": "numeric",
             "encode": {"boundaries": [18, 30, 45, 60]}},
            {"name": "item_id", "group": "item", "kind": "categorical",
             "encode": {"hash_size": 800}},
            {"name": "tags", "group": "item", "kind": "multi_valued",
             "encode": {"hash_size": 50}},
            {"name": "slot", "group": "context", "kind": "categorical",
             "encode": {"hash_size": 7}},
        ],
        "model": {"embedding_dim": 6, "hidden_units": [24, 12]},
        "train": {
            "days": train_days,
            "batch_size": 240,
            "towers": {"name": "adam", "learning_rate": 0.001},
            "tables": {"name": "adagrad", "learning_rate": 0.05},
        },
        "evaluate": {"days": test_days, "num_bootstraps": 100},
    }


def write_config(path: Path, document: dict[str, Any]) -> Path:
    """Writes a document as YAML; returns the file."""
    file = path / "config.yaml"
    file.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    return file


def write_samples(
    document: dict[str, Any],
    num_rows_of_day: int = 5000,
    rows_per_file: int = 700,
    seed: int = 0,
    spoil: Callable[[date, pa.Table], pa.Table] = lambda day, rows: rows,
    encodings: Encodings = Encodings(),
) -> Manifest:
    """Writes every day of a config's samples.days and manifest number 1; of a stream of fake
    negatives each file ends in those of all its conversions.

    Args:
        spoil: makes other rows of the random ones of a day.
    """
    config = parse_config(document, "small")
    root = Path(config.samples.path)
    rng = np.random.default_rng(seed)
    num_days = (config.samples.days.last - config.samples.days.first).days + 1
    days = tuple(
        _write_day(config, root, config.samples.days.first + timedelta(days=n),
                   num_rows_of_day, rows_per_file, rng, spoil, encodings)
        for n in range(num_days)
    )
    types = sample_columns(config)
    manifest = Manifest(
        number=1,
        created_at=datetime(2024, 2, 1, tzinfo=UTC),
        fingerprint=fingerprint(config.features),
        encodings=_saved(encodings, root),
        columns={name: SampleColumn(type=type_) for name, type_ in types.items()},
        shuffle_seed=config.samples.shuffle_seed,
        days=days,
    )
    (root / MANIFESTS).mkdir()
    (root / manifest.path).write_text(manifest.model_dump_json(), encoding="utf-8")
    return manifest


def append_keys(manifest: Manifest, root: Path, encodings: Encodings) -> Manifest:
    """The next manifest of the same days, whose encodings have keys appended."""
    grown = manifest.model_copy(update={
        "number": manifest.number + 1, "encodings": _saved(encodings, root),
    })
    (root / grown.path).write_text(grown.model_dump_json(), encoding="utf-8")
    return grown


def _saved(encodings: Encodings, root: Path) -> EncodingsReference:
    path = f"{ENCODINGS}/{encodings.content_hash}.json"
    (root / ENCODINGS).mkdir(exist_ok=True)
    (root / path).write_text(encodings.model_dump_json(), encoding="utf-8")
    return EncodingsReference(path=path, content_hash=encodings.content_hash,
                              ancestry=encodings.ancestry)


def _write_day(
    config: Config, root: Path, day: date, num_rows: int, rows_per_file: int,
    rng: np.random.Generator, spoil: Callable[[date, pa.Table], pa.Table], encodings: Encodings,
) -> Day:
    table = spoil(day, _random_rows(config, num_rows, rng, encodings))
    num_rows = table.num_rows
    num_immature = num_rows - int(np.sum(table["mature"]))
    folder = f"day={day}/build={BUILD_ID}"
    (root / folder).mkdir(parents=True)
    files = []
    for number, start in enumerate(range(0, num_rows, rows_per_file)):
        part = table.slice(start, rows_per_file)
        num_samples = part.num_rows
        if config.samples.label_stream == "fake_negative":
            part = _streamed(part)
        path = f"{folder}/part-{number:05d}.parquet"
        pq.write_table(part, root / path)
        num_bytes = (root / path).stat().st_size
        files.append(SampleFile(path=path, num_rows=part.num_rows, num_bytes=num_bytes,
                                num_fake_negatives=part.num_rows - num_samples))
    noon = datetime.combine(day, time(12), UTC)
    return Day(
        day=day, build_id=BUILD_ID, built_at=noon, as_of=noon if num_immature else None,
        known_by={"clicks": "event_time"} if num_immature else {}, files=tuple(files),
        num_rows=num_rows, num_clicks=int(np.sum(table["click"])),
        num_conversions=int(np.sum(table["conversion"])),
        first_event_time=noon, last_event_time=noon,
        counters={"impressions_in": num_rows, "samples_immature": num_immature},
    )


def _streamed(samples: pa.Table) -> pa.Table:
    """The samples, and each converted one once more as the negative that it was before."""
    fakes = samples.filter(pa.compute.equal(samples["conversion"], 1))
    for name, value in (("conversion", 0), ("conversion_delay_s", NO_DELAY_S)):
        field = fakes.schema.field(name)
        column = pa.array([value] * len(fakes), field.type)
        fakes = fakes.set_column(fakes.schema.get_field_index(name), field, column)
    marks = np.repeat(np.array([0, 1], np.int8), [len(samples), len(fakes)])
    rows = pa.concat_tables([samples, fakes])
    return rows.append_column(pa.field(FAKE_NEGATIVE, pa.int8(), nullable=False), pa.array(marks))


def _random_rows(
    config: Config, num_rows: int, rng: np.random.Generator, encodings: Encodings
) -> pa.Table:
    columns: dict[str, Any] = {}
    logit = np.full(num_rows, -0.5)
    for feature in config.features:
        size = num_rows_of_feature(feature, encodings)
        if isinstance(feature, MultiValuedFeature):
            lengths = rng.integers(0, 4, num_rows)
            columns[feature.name] = [
                rng.integers(1, size, length).astype("<i4").tobytes() for length in lengths
            ]
        else:
            ids = np.minimum(rng.zipf(1.3, num_rows), size - 1).astype(np.int32)
            columns[feature.name] = ids
            logit += np.sin(ids)
    click = rng.random(num_rows) < _sigmoid(logit)
    conversion = click & (rng.random(num_rows) < _sigmoid(0.7 * logit - 1))
    labels = {
        "sample_id": rng.integers(-2**63, 2**63 - 1, num_rows),
        "group_id": columns["user_id"].astype(np.int64),
        "click": click.astype(np.int8),
        "conversion": conversion.astype(np.int8),
        "weight": np.ones(num_rows, np.float32),
        "click_delay_s": np.where(click, 60, -1).astype(np.int32),
        "conversion_delay_s": np.where(conversion, 3_600, -1).astype(np.int32),
        "observed_s": np.full(num_rows, 48 * 3_600, np.int32),
        "mature": np.ones(num_rows, np.int8),
    }
    types = column_types(config.features)
    schema = pa.schema([pa.field(n, _arrow(t), nullable=False) for n, t in types.items()])
    return pa.table({name: (labels | columns)[name] for name in types}, schema=schema)


def _arrow(type_name: str) -> pa.DataType:
    return {"binary": pa.binary(), "int64": pa.int64(), "int32": pa.int32(), "int8": pa.int8(),
            "float32": pa.float32()}[type_name]


def _sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(-x))
