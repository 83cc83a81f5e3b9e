"""Predictions: one row a sample, with its labels and the logits of each task.

It does not know how a prediction is made, stored or measured.

Shape legend: N rows.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import date
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from esmm_dist.contract.batch import Batch
from esmm_dist.contract.errors import InputError


@dataclass(frozen=True)
class Logits:
    """What a predictor says of the rows of a batch; what it does not predict is None."""

    ctr_logit_N: NDArray[Any] | None
    cvr_logit_N: NDArray[Any] | None
    ctcvr_logit_N: NDArray[Any] | None = None
    """None: pCTCVR is pCTR * pCVR, if both are predicted; else it is predicted by itself."""
    cvr_log_p_N: NDArray[Any] | None = None
    """log pCVR, instead of its logit, of a predictor whose pCVR may exceed 1."""


Predict = Callable[[Batch], Logits]


class NonFinitePredictions(InputError):
    """A model predicts numbers that are infinite or not defined: no metric of them means anything.
    """


@dataclass(frozen=True)
class Predictions:
    """Rows with their labels and logits, in columns of equal length."""

    sample_id_N: NDArray[np.int64]
    group_id_N: NDArray[np.int64]
    day_N: NDArray[np.datetime64]
    click_N: NDArray[np.int8]
    conversion_N: NDArray[np.int8]
    weight_N: NDArray[np.float64]
    ctr_logit_N: NDArray[np.float64] | None
    cvr_logit_N: NDArray[np.float64] | None
    ctcvr_logit_N: NDArray[np.float64] | None = None
    cvr_log_p_N: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self.sample_id_N)

    @property
    def are_finite(self) -> bool:
        """Whether every number that is predicted is one."""
        predicted = (getattr(self, field.name) for field in fields(Logits))
        return all(values_N is None or bool(np.isfinite(values_N).all()) for values_N in predicted)

    @classmethod
    def collect(cls, day: date, batches: Iterable[Batch], predict: Predict) -> Self:
        """Predicts one day's batches; padding is left out, rows of weight 0 are not."""
        parts = [cls._of_batch(day, batch, predict(batch)) for batch in batches]
        return cls.concatenate(parts)

    @classmethod
    def _of_batch(cls, day: date, batch: Batch, logits: Logits) -> Self:
        end = batch.num_rows - batch.num_padded
        predicted = {field.name: getattr(logits, field.name) for field in fields(logits)}
        return cls(
            sample_id_N=batch.sample_id_B[:end].cpu().numpy(),
            group_id_N=batch.group_id_B[:end].cpu().numpy(),
            day_N=np.full(end, day, dtype="datetime64[D]"),
            click_N=batch.click_B[:end].cpu().numpy().astype(np.int8),
            conversion_N=batch.conversion_B[:end].cpu().numpy().astype(np.int8),
            weight_N=batch.weight_B[:end].cpu().numpy().astype(np.float64),
            **{name: None if values_N is None else values_N[:end].astype(np.float64)
               for name, values_N in predicted.items()},
        )

    @classmethod
    def concatenate(cls, parts: Sequence[Self]) -> Self:
        """All rows of all parts, which predict the same things."""
        parts = [part for part in parts if len(part)] or list(parts[:1])
        assert parts, "nothing to concatenate"
        columns: dict[str, Any] = {}
        for field in fields(cls):
            arrays = [getattr(part, field.name) for part in parts]
            missing = [array is None for array in arrays]
            assert all(missing) or not any(missing), f"{field.name} is in some parts only"
            columns[field.name] = None if missing[0] else np.concatenate(arrays)
        return cls(**columns)

    def take(self, rows_N: NDArray[Any]) -> Self:
        """The rows that a mask or a list of places names."""
        columns = {field.name: getattr(self, field.name) for field in fields(self)}
        taken: dict[str, Any] = {
            name: None if column is None else column[rows_N] for name, column in columns.items()
        }
        return type(self)(**taken)

    def in_order_of_samples(self, source: str) -> Self:
        """The rows by sample id and day, so that no figure depends on who wrote which part.

        An impression id that comes back on another day is another sample there.

        Raises:
            InputError: a sample stands twice; `source` names the predictions.
        """
        order_N = np.lexsort((self.day_N, self.sample_id_N))
        ids_N, day_N = self.sample_id_N[order_N], self.day_N[order_N]
        (repeated,) = np.nonzero((ids_N[1:] == ids_N[:-1]) & (day_N[1:] == day_N[:-1]))
        if len(repeated):
            raise InputError(
                f"{source}: the sample {ids_N[repeated[0]]} was predicted twice "
                f"({len(repeated):,} rows too many): evaluate again, and if it stays rebuild the "
                "samples"
            )
        return self.take(order_N)
