"""Predictions as evaluation writes them and every later comparison reads them: one row a sample.

A directory of Parquet parts, one a rank, each put in place by a rename and each naming what it came
from. It does not know how a prediction is made or measured.

Shape legend: N rows.
"""

import json
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import date
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from esmm_dist.contract.batch import Batch
from esmm_dist.contract.errors import InputError

SCHEMA = pa.schema([
    pa.field("sample_id", pa.int64(), nullable=False),
    pa.field("group_id", pa.int64(), nullable=False),
    pa.field("day", pa.date32(), nullable=False),
    pa.field("click", pa.int8(), nullable=False),
    pa.field("conversion", pa.int8(), nullable=False),
    pa.field("weight", pa.float64(), nullable=False),
    pa.field("ctr_logit", pa.float64(), nullable=False),
    pa.field("cvr_logit", pa.float64(), nullable=False),
    pa.field("ctcvr_logit", pa.float64(), nullable=True),
])
_ORIGIN_KEY = b"esmm_dist.origin"
_NUMPY_TYPES = {pa.int64(): np.int64, pa.int8(): np.int8, pa.float64(): np.float64,
                pa.date32(): "datetime64[D]"}


@dataclass(frozen=True)
class Logits:
    """What a predictor says of the rows of a batch."""

    ctr_logit_N: NDArray[Any]
    cvr_logit_N: NDArray[Any]
    ctcvr_logit_N: NDArray[Any] | None = None
    """None: pCTCVR is pCTR * pCVR; else it is predicted by itself."""


Predict = Callable[[Batch], Logits]


@dataclass(frozen=True)
class Origin:
    """What a part came from; the parts of one directory must agree."""

    model: str
    """The method, as in the config, or the name of a reference."""
    manifest: int
    """Number of the samples manifest that was read."""
    step: int | None
    """Steps the checkpoint was trained for; None for a model that takes none."""
    num_parts: int


@dataclass(frozen=True)
class Predictions:
    """Rows with their labels and logits, in columns of equal length."""

    sample_id_N: NDArray[np.int64]
    group_id_N: NDArray[np.int64]
    day_N: NDArray[np.datetime64]
    click_N: NDArray[np.int8]
    conversion_N: NDArray[np.int8]
    weight_N: NDArray[np.float64]
    ctr_logit_N: NDArray[np.float64]
    cvr_logit_N: NDArray[np.float64]
    ctcvr_logit_N: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self.sample_id_N)

    @classmethod
    def collect(cls, day: date, batches: Iterable[Batch], predict: Predict) -> Self:
        """Predicts one day's batches; padding (weight 0) is left out."""
        parts = [cls._of_batch(day, batch, predict(batch)) for batch in batches]
        return cls.concatenate(parts)

    @classmethod
    def _of_batch(cls, day: date, batch: Batch, logits: Logits) -> Self:
        weight_N = batch.weight_B.cpu().numpy().astype(np.float64)
        real_N = weight_N > 0
        ctcvr_logit_N = logits.ctcvr_logit_N
        return cls(
            sample_id_N=batch.sample_id_B.cpu().numpy()[real_N],
            group_id_N=batch.group_id_B.cpu().numpy()[real_N],
            day_N=np.full(int(real_N.sum()), day, dtype="datetime64[D]"),
            click_N=batch.click_B.cpu().numpy()[real_N].astype(np.int8),
            conversion_N=batch.conversion_B.cpu().numpy()[real_N].astype(np.int8),
            weight_N=weight_N[real_N],
            ctr_logit_N=logits.ctr_logit_N[real_N].astype(np.float64),
            cvr_logit_N=logits.cvr_logit_N[real_N].astype(np.float64),
            ctcvr_logit_N=None if ctcvr_logit_N is None
            else ctcvr_logit_N[real_N].astype(np.float64),
        )

    @classmethod
    def concatenate(cls, parts: Sequence[Self]) -> Self:
        """All rows of all parts; either every part predicts pCTCVR by itself, or none does."""
        parts = [part for part in parts if len(part)] or list(parts[:1])
        if not parts:
            return cls._of_table(SCHEMA.empty_table())
        columns = {}
        for field in fields(cls):
            arrays = [getattr(part, field.name) for part in parts]
            missing = [array is None for array in arrays]
            assert all(missing) or not any(missing), f"{field.name} is in some parts only"
            columns[field.name] = None if missing[0] else np.concatenate(arrays)
        return cls(**columns)

    def take(self, rows_N: NDArray[Any]) -> Self:
        """The rows that a mask or a list of places names."""
        columns = {f.name: getattr(self, f.name) for f in fields(self)}
        return type(self)(**{n: None if c is None else c[rows_N] for n, c in columns.items()})

    def in_order_of_samples(self, source: str) -> Self:
        """The rows by sample id, so that no figure depends on who wrote which part.

        Raises:
            InputError: a sample id stands twice; `source` names the predictions.
        """
        order_N = np.argsort(self.sample_id_N, kind="stable")
        ids_N = self.sample_id_N[order_N]
        (repeated,) = np.nonzero(ids_N[1:] == ids_N[:-1])
        if len(repeated):
            raise InputError(
                f"{source}: the sample {ids_N[repeated[0]]} was predicted twice "
                f"({len(repeated):,} rows too many): evaluate again, and if it stays rebuild the "
                "samples"
            )
        return self.take(order_N)

    def _to_table(self) -> pa.Table:
        columns = []
        for field in SCHEMA:
            column = getattr(self, f"{field.name}_N")
            columns.append(pa.nulls(len(self), field.type) if column is None
                           else pa.array(column, type=field.type))
        return pa.table(columns, schema=SCHEMA)

    @classmethod
    def _of_table(cls, table: pa.Table) -> Self:
        columns = {}
        for field in SCHEMA:
            column = table.column(field.name)
            absent = field.nullable and column.null_count == len(column)
            columns[f"{field.name}_N"] = None if absent else column.to_numpy().astype(
                _NUMPY_TYPES[field.type], copy=False
            )
        return cls(**columns)


def write_part(directory: Path, part: int, predictions: Predictions, origin: Origin) -> Path:
    """Writes one rank's part under a temporary name, then renames it.

    Part 0 also removes the parts of an earlier evaluation by more ranks.
    """
    directory.mkdir(parents=True, exist_ok=True)
    if part == 0:
        for path in directory.glob("part-*.parquet"):
            if _number_of(path) >= origin.num_parts:
                path.unlink()
    metadata = {_ORIGIN_KEY: json.dumps(asdict(origin)).encode()}
    path = directory / f"part-{part}.parquet"
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    pq.write_table(predictions._to_table().replace_schema_metadata(metadata), temporary,
                   compression="zstd")
    os.replace(temporary, path)
    return path


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
    predictions = Predictions.concatenate([Predictions._of_table(table) for table in tables])
    return predictions.in_order_of_samples(str(directory)), origins[0]


def _read_part(path: Path) -> tuple[pa.Table, Origin]:
    try:
        table = pq.read_table(path)
        origin = Origin(**json.loads((table.schema.metadata or {})[_ORIGIN_KEY]))
    except (OSError, pa.ArrowException, KeyError, TypeError, ValueError):
        raise InputError(f"{path}: no readable predictions: evaluate again") from None
    if table.schema.remove_metadata() != SCHEMA:
        raise InputError(f"{path}: its columns are {table.schema.names}: evaluate again")
    return table, origin


def _number_of(path: Path) -> int:
    number = path.stem.removeprefix("part-")
    return int(number) if number.isdigit() else -1
