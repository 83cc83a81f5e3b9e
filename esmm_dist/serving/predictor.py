"""Probabilities of raw requests: a bundle's encoder and its exported model, in one process.

    predictor = Predictor.open("bundles/kuairand/<name>")
    predictor.predict([{"user_id": 7, "tags": ["a"], …}])    # [{"p_ctr": …, "p_cvr": …, …}]
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Self

import numpy as np

from esmm_dist.contract.errors import InputError
from esmm_dist.contract.exported import EXPORT_INDEX, ExportIndex
from esmm_dist.serving.bundle import Bundle
from esmm_dist.serving.inputs import Row, of_rows
from esmm_dist.serving.onnx_model import OnnxModel
from esmm_dist.serving.requests import Request, RequestEncoder


class Predictor:
    """One model in service; threads may share it."""

    def __init__(self, bundle: Bundle, num_threads: int = 1) -> None:
        """
        Raises:
            InputError: the bundle holds no exported model.
        """
        path, index = exported_model(bundle)
        self.encoder = RequestEncoder(
            bundle.config.features, bundle.encodings, bundle.index.value_kinds
        )
        self._model, self._probabilities = OnnxModel(path, num_threads), index.probabilities

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Opens a bundle's folder, checks all of it, and loads its model.

        Raises:
            InputError: it is no whole bundle, or holds no exported model.
        """
        return cls(Bundle.open(path))

    def predict(self, requests: Iterable[Request]) -> list[dict[str, float]]:
        """p_ctr, p_cvr and p_ctcvr of every request: those that the method predicts.

        Raises:
            InputError: a request cannot be encoded; names its place, the feature and the value.
        """
        asked = list(requests)
        if not asked:
            return []
        columns = self._model.run(self.encoder.encode(asked), self._probabilities)
        rows = zip(*[values_B.tolist() for values_B in columns.values()])
        return [dict(zip(columns, row)) for row in rows]


def differences_on_sample(bundle: Bundle) -> dict[str, float]:
    """By probability, the largest difference between what the bundle's exported model gives, once
    loaded, and what the trainer's own code said of the same rows.

    Raises:
        InputError: the bundle holds no exported model, or one that cannot be loaded or run.
    """
    path, index = exported_model(bundle)
    rows = bundle.sample.rows
    values = [{**row.ids, **{f"{name}_weights": w for name, w in row.weights.items()}}
              for row in rows]
    inputs = {one.name: of_rows(one, [_as_row(of_row[one.name]) for of_row in values])
              for one in index.inputs}
    found = OnnxModel(path).run(inputs, index.probabilities)
    return {
        name: float(np.max(np.abs(p_B - [getattr(row, name) for row in rows])))
        for name, p_B in found.items()
    }


def _as_row(value: int | list[int] | list[float]) -> Row:
    return value if isinstance(value, list) else [value]


def exported_model(bundle: Bundle) -> tuple[Path, ExportIndex]:
    """A bundle's ONNX file, and what it takes and gives.

    Raises:
        InputError: nothing was exported before the run was published, or something else was.
    """
    folder = bundle.export_path
    if folder is None:
        raise InputError(
            f"{bundle.path}: it holds no exported model: run esmm_dist.export and publish again"
        )
    source = folder / EXPORT_INDEX
    index = ExportIndex.parse(source.read_text(encoding="utf-8"), str(source))
    for part in ("fingerprint", "encodings"):
        found, wanted = getattr(index, part), getattr(bundle.index, part)
        if found != wanted:
            raise InputError(
                f"{source}: its {part} is {found[:12]}, the bundle's is {wanted[:12]}: run "
                "esmm_dist.export and publish again"
            )
    if index.calibration != bundle.calibration:
        raise InputError(
            f"{source}: it was exported with another calibration than the bundle's: run "
            "esmm_dist.export after esmm_dist.evaluate, and publish again"
        )
    return folder / index.onnx, index
