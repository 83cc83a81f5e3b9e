"""Predictions on disk: a directory of Parquet parts, one a rank, all of one evaluation.

Every part is put in place by a rename and names what it came from, so that a mixture of two
evaluations is refused. It measures nothing.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from esmm_dist.contract.errors import InputError
from esmm_dist.evaluation.predictions import Predictions
from esmm_dist.storage.files import drafted, make_folder

SCHEMA = pa.schema([
    pa.field("sample_id", pa.int64(), nullable=False),
    pa.field("group_id", pa.int64(), nullable=False),
    pa.field("day", pa.date32(), nullable=False),
    pa.field("click", pa.int8(), nullable=False),
    pa.field("conversion", pa.int8(), nullable=False),
    pa.field("weight", pa.float64(), nullable=False),
    # a column of nulls: the method does not predict it
    pa.field("ctr_logit", pa.float64(), nullable=True),
    pa.field("cvr_logit", pa.float64(), nullable=True),
    pa.field("ctcvr_logit", pa.float64(), nullable=True),
    pa.field("cvr_log_p", pa.float64(), nullable=True),
])
_ORIGIN_KEY = b"esmm_dist.origin"
_NUMPY_TYPES = {pa.int64(): np.int64, pa.int8(): np.int8, pa.float64(): np.float64,
                pa.date32(): "datetime64[D]"}


@dataclass(frozen=True)
class Origin:
    """What a part came from; the parts of one directory must agree."""

    model: str
    """The method, as in the config, or the name of a reference."""
    manifest: int
    """Number of the samples manifest that was read."""
    checkpoint: str | None
    """Digest of the checkpoint's index; None for a reference, which leaves none."""
    num_parts: int


def write_part(directory: Path, part: int, predictions: Predictions, origin: Origin) -> Path:
    """Writes one rank's part, whole or not at all.

    Part 0 also removes the parts of an earlier evaluation by more ranks.
    """
    make_folder(directory)
    if part == 0:
        for path in directory.glob("part-*.parquet"):
            if _number_of(path) >= origin.num_parts:
                path.unlink()
    metadata = {_ORIGIN_KEY: json.dumps(asdict(origin)).encode()}
    path = directory / f"part-{part}.parquet"
    table = _to_table(predictions).replace_schema_metadata(metadata)
    with drafted(path) as draft:
        pq.write_table(table, draft, compression="zstd")
    return path


def remove_other_folds(directory: Path, folds: Sequence[str]) -> None:
    """Removes the parts of folds that an earlier evaluation had and this one has not."""
    for path in directory.glob("*/part-*.parquet"):
        if path.parent.name not in folds:
            path.unlink()
            if path.parent.is_dir() and not any(path.parent.iterdir()):
                path.parent.rmdir()


def read_parts(directory: Path) -> tuple[Predictions, Origin]:
    """Reads all parts of a directory, in order of sample ids.

    Raises:
        InputError: a part is missing, unreadable or of another evaluation, or a sample id stands
            twice.
    """
    paths = sorted(directory.glob("part-*.parquet"), key=_number_of)
    if not paths:
        raise InputError(f"{directory}: no predictions there: run esmm_dist.evaluate first")
    tables, origins = zip(*(_read_part(path) for path in paths))
    if len(set(origins)) > 1 or len(paths) != origins[0].num_parts:
        raise InputError(
            f"{directory}: {len(paths)} parts of {origins[0].num_parts}, or of different "
            "evaluations: one was interrupted; evaluate again"
        )
    predictions = Predictions.concatenate([_of_table(table) for table in tables])
    return predictions.in_order_of_samples(str(directory)), origins[0]


def _read_part(path: Path) -> tuple[pa.Table, Origin]:
    try:
        with path.open("rb") as file:
            table = pq.read_table(file)
        origin = Origin(**json.loads((table.schema.metadata or {})[_ORIGIN_KEY]))
    except (OSError, pa.ArrowException, KeyError, TypeError, ValueError):
        raise InputError(f"{path}: no readable predictions: evaluate again") from None
    if table.schema.remove_metadata() != SCHEMA:
        raise InputError(f"{path}: its columns are {table.schema.names}: evaluate again")
    return table, origin


def _number_of(path: Path) -> int:
    number = path.stem.removeprefix("part-")
    return int(number) if number.isdigit() else -1


def _to_table(predictions: Predictions) -> pa.Table:
    columns: list[Any] = []
    for field in SCHEMA:
        column = getattr(predictions, f"{field.name}_N")
        columns.append(pa.nulls(len(predictions), field.type) if column is None
                       else pa.array(column, type=field.type))
    return pa.table(columns, schema=SCHEMA)


def _of_table(table: pa.Table) -> Predictions:
    columns: dict[str, Any] = {}
    for field in SCHEMA:
        column = table.column(field.name)
        absent = field.nullable and column.null_count == len(column)
        columns[f"{field.name}_N"] = None if absent else column.to_numpy().astype(
            _NUMPY_TYPES[field.type], copy=False
        )
    return Predictions(**columns)
