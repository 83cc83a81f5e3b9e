"""An exported model, run by onnxruntime: arrays in, arrays out. It knows no feature and no bundle.

Shape legend: B rows.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import onnxruntime
from numpy.typing import NDArray

from esmm_dist.contract.errors import InputError

ERRORS_ONLY = 3


class OnnxModel:
    """A session; tables beside the file are mapped into memory, so that processes share them."""

    def __init__(self, path: Path, num_threads: int = 1) -> None:
        """
        Raises:
            InputError: onnxruntime cannot load the file.
        """
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = num_threads
        options.log_severity_level = ERRORS_ONLY
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # its own have no common base below this
            reason = str(error).partition("\n")[0]
            raise InputError(
                f"{path}: onnxruntime cannot load it ({reason}): run esmm_dist.export and publish "
                "again"
            ) from None
        self.outputs = tuple(output.name for output in self._session.get_outputs())

    def run(
        self, inputs: Mapping[str, NDArray[Any]], outputs: Sequence[str]
    ) -> dict[str, NDArray[Any]]:
        """Some of the model's outputs, (B,) each, from all of its inputs."""
        values = self._session.run(list(outputs), dict(inputs))
        return {name: value_B1[:, 0] for name, value_B1 in zip(outputs, values)}
