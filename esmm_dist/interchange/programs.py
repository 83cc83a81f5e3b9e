"""A served model as a program: traced by torch.export, written for PyTorch and as ONNX.

Rows of a batch and lengths of lists are dynamic. It reads no checkpoint and checks no number.
"""

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import onnx_ir
import torch
from onnx_ir.passes.common import ClearMetadataAndDocStringPass
from torch.export import Dim, ExportedProgram

from esmm_dist.contract.exported import ModelInput
from esmm_dist.interchange.tables import WholeTables
from esmm_dist.model.served import ServedModel

DTYPES = {"int32": torch.int32, "float32": torch.float32}
ONNX_DTYPES = {torch.float32: onnx_ir.DataType.FLOAT, torch.float64: onnx_ir.DataType.DOUBLE}

# Sizes of the example that is traced; sizes of 1 would be taken for constants.
NUM_EXAMPLE_ROWS, EXAMPLE_LENGTH = 2, 3


def trace(model: ServedModel, inputs: Sequence[ModelInput]) -> ExportedProgram:
    """The model as a program of any number of rows, and of any length of lists."""
    dims = {name: Dim(name) for of_input in _dynamic(inputs).values() for name in of_input.values()}
    example = {
        one.name: torch.ones(NUM_EXAMPLE_ROWS, EXAMPLE_LENGTH if one.max_length else 1,
                             dtype=DTYPES[one.type])
        for one in inputs
    }
    shapes = {
        name: {axis: dims[dim] for axis, dim in of_input.items()}
        for name, of_input in _dynamic(inputs).items()
    }
    with torch.no_grad(), _no_talk():
        program = torch.export.export(model.eval(), (example,), dynamic_shapes=(shapes,))
    # Whence in our code each node came: paths of the machine at hand, by which the same model would
    # be another file elsewhere.
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)
    return program


def _dynamic(inputs: Sequence[ModelInput]) -> dict[str, dict[int, str]]:
    """Of each input the axes that may have any size, and what their size is called."""
    return {
        one.name: {0: "batch"} | ({1: f"{one.feature}_length"} if one.max_length else {})
        for one in inputs
    }


def outputs_of(program: ExportedProgram) -> tuple[str, ...]:
    """The names of a program's outputs, in order."""
    spec = program.call_spec.out_spec
    assert spec is not None
    return tuple(spec.context)


def write_torch(program: ExportedProgram, path: Path) -> None:
    """Writes what torch.export.load reads."""
    with _no_talk():
        torch.export.save(program, path)


def write_onnx(
    program: ExportedProgram, path: Path, inputs: Sequence[ModelInput], model: ServedModel,
    tables: WholeTables, tables_path: Path | None,
) -> None:
    """Writes an ONNX file.

    Args:
        tables: those of the model.
        tables_path: the file that they lie in, in the folder of `path`; the ONNX file then refers
            to it, and holds all else. None: it holds them too.
    """
    with _no_talk():
        exported = torch.onnx.export(
            program, dynamo=True, verbose=False, input_names=[one.name for one in inputs],
            output_names=list(outputs_of(program)),
            dynamic_shapes=(_dynamic(inputs),),  # for their names
        )
    assert exported is not None
    ClearMetadataAndDocStringPass()(exported.model)
    if tables_path is not None:
        for key, name in model.buffer_of_table.items():
            table_ND: torch.Tensor = getattr(model, name)
            stretch = tables.stretches[key]
            exported.model.graph.initializers[name].const_value = onnx_ir.ExternalTensor(
                tables_path.name, stretch.offset, stretch.num_bytes, ONNX_DTYPES[table_ND.dtype],
                shape=onnx_ir.Shape(table_ND.shape), name=name, base_dir=str(path.parent),
            )
    onnx_ir.save(exported.model, path)


@contextmanager
def _no_talk() -> Iterator[None]:
    """Without torch's warnings about its own parts, and about packages that nothing here needs."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
