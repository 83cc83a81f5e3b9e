"""An exported model on Arrow batches, wherever they are: encoded rows in, probabilities out.

It encodes nothing and opens no bundle.

Shape legend: B rows.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from esmm_dist.contract.exported import ModelInput
from esmm_dist.serving.inputs import of_arrow
from esmm_dist.serving.onnx_model import OnnxModel


@dataclass(frozen=True)
class ArrowScorer:
    """Batches of encoded rows in, batches of scores out; it can be sent to other processes."""

    model_path: Path
    kept: tuple[str, ...]
    """Columns that are handed on as they are."""
    inputs: tuple[ModelInput, ...]
    """Columns of the rows that hold the model's inputs, as `inputs.of_arrow` takes them."""
    probabilities: tuple[str, ...]
    """Those that follow them, in float32."""

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Scores every row, in order."""
        model = _opened(self.model_path)
        for rows in batches:
            scores = self._scores(model, rows)
            kept = [rows.column(name) for name in self.kept]
            yield pa.RecordBatch.from_arrays(
                [*kept, *scores], names=[*self.kept, *self.probabilities]
            )

    def _scores(self, model: OnnxModel, rows: pa.RecordBatch) -> Sequence[Any]:
        if not rows.num_rows:
            return [pa.array([], pa.float32())] * len(self.probabilities)
        of_rows = model.run(of_arrow(rows, self.inputs), self.probabilities)
        return [pa.array(values_B.astype(np.float32)) for values_B in of_rows.values()]


@lru_cache(maxsize=1)
def _opened(path: Path) -> OnnxModel:
    """One session a process, however many batches of rows come to it."""
    return OnnxModel(path)
