"""Exports a trained run for other programs: ONNX, torch.export, and a model repository of Triton.

    python -m esmm_dist.export
    python -m esmm_dist.export --run kuairand --fold 2022-05-05 --set …

Leaves runs/<name>/export/, once ONNX and PyTorch agree on the run's own test rows; docs/serving.md
says what stands there. What an earlier export left is replaced whole.
"""

import sys
from argparse import Namespace
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from esmm_dist.assembly import footprint, load_predictor, load_served
from esmm_dist.bundling import calibration_of, scorecard_of
from esmm_dist.calibration.maps import Scores, calibrated, rates_of
from esmm_dist.contract.batch import Batch
from esmm_dist.contract.bundle import EXPORT, METRICS
from esmm_dist.contract.calibration import Calibration, unclicked_in
from esmm_dist.contract.command_line import config_from, config_parser, run_command
from esmm_dist.contract.errors import InputError
from esmm_dist.contract.exported import EXPORT_INDEX, ExportIndex, inputs_of
from esmm_dist.distributed.world import SoloWorld
from esmm_dist.interchange.programs import outputs_of, trace, write_onnx, write_torch
from esmm_dist.interchange.triton import CONFIG_FILE, MODEL_FILE, VERSION, config_text
from esmm_dist.reader.samples import SampleReader
from esmm_dist.serving.bundle import parts_of
from esmm_dist.serving.inputs import of_batch
from esmm_dist.serving.onnx_model import OnnxModel
from esmm_dist.storage.address import path_of
from esmm_dist.storage.files import files_below, replacing
from esmm_dist.training.trained_run import TrainedFold, TrainedRun, config_of_run, open_run

REPOSITORY = "repository"
TORCH_FILE = "model.pt2"

# Above this the tables lie beside the ONNX file: one message of protobuf ends at 2 GiB, and what
# lies beside it is mapped into memory instead of read.
MAX_BYTES_INSIDE = 64 * 2**20
NUM_ROWS_CHECKED = 20_000
MAX_DIFFERENCE = 1e-6
"""Of probabilities in float32, whose own step is 6e-8 near 1."""


# ---------------------------------------------------------------------------------------------
# The command
# ---------------------------------------------------------------------------------------------


def main(argv: Sequence[str]) -> None:
    """Parses the flags, exports, and prints where it lies."""
    parser = config_parser(__doc__)
    parser.add_argument("--run", metavar="NAME",
                        help="a run below runs_path, with the config it was trained with (and "
                             "--set); without it, the run that the config names")
    parser.add_argument("--fold", metavar="NAME",
                        help="whose model to export (default: the last fold's, which was trained "
                             "on the most days)")
    arguments = parser.parse_args(argv)
    run = _open(arguments)
    index = export_fold(run, _fold(run, arguments.fold))
    where = "beside it" if index.tables else "inside"
    print(f"{index.num_rows_checked:,} rows: ONNX and PyTorch differ by {index.max_difference:.1e} "
          f"at most; tables {where}")
    print(run.path / EXPORT)


def _open(arguments: Namespace) -> TrainedRun:
    config = config_from(arguments)
    run_path = path_of(config.runs_path) / (arguments.run or config.name)
    if arguments.run:
        config = config_of_run(run_path, arguments.overrides)
    return open_run(config, run_path)


def _fold(run: TrainedRun, name: str | None) -> TrainedFold:
    if name is None:
        return run.folds[-1]
    found = [trained for trained in run.folds if trained.fold.name == name]
    if not found:
        names = ", ".join(trained.fold.name for trained in run.folds)
        raise InputError(f"{run.path}: it has no fold {name!r}: give --fold one of {names}")
    return found[0]


# ---------------------------------------------------------------------------------------------
# Exporting
# ---------------------------------------------------------------------------------------------


def export_fold(
    run: TrainedRun, trained: TrainedFold, max_bytes_inside: int = MAX_BYTES_INSIDE
) -> ExportIndex:
    """Exports one fold's model into the run's folder.

    Args:
        max_bytes_inside: larger tables lie beside the ONNX file.

    Raises:
        InputError: the checkpoint cannot be read, or ONNX gives other probabilities than PyTorch;
            an earlier export then stays as it was.
    """
    calibration = _calibration(run)
    with replacing(run.path / EXPORT, EXPORT_INDEX) as folder:
        index = _write(run, trained, calibration, folder, max_bytes_inside)
        num_rows, difference = _compare(run, trained, calibration, folder / index.onnx)
        if not difference <= MAX_DIFFERENCE:
            raise InputError(
                f"{trained.checkpoint}: ONNX and PyTorch differ by {difference:.1e} on a "
                f"probability, {MAX_DIFFERENCE:.0e} is allowed: nothing was exported"
            )
        index = index.model_copy(update={
            "num_rows_checked": num_rows, "max_difference": difference,
            "files": parts_of(folder, files_below(folder)),
        })
        (folder / EXPORT_INDEX).write_text(index.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return index


def _calibration(run: TrainedRun) -> Calibration:
    """What the run's evaluation found; without one, none is needed where none is asked for."""
    is_needed = run.config.calibrate.method != "none"
    if is_needed or (run.path / METRICS).exists():
        return calibration_of(run, scorecard_of(run))
    return Calibration(unclicked=unclicked_in(run.config))


def _write(
    run: TrainedRun, trained: TrainedFold, calibration: Calibration, folder: Path,
    max_bytes_inside: int,
) -> ExportIndex:
    """Writes all but the index, which it returns as it stands before the comparison."""
    config, name = run.config, run.path.name
    inputs = inputs_of(config.features)
    home = folder / REPOSITORY / name / VERSION
    home.mkdir(parents=True)
    num_bytes = footprint(config, run.encodings, SoloWorld(), for_training=False).total_bytes
    drafted = home / "tables" if num_bytes > max_bytes_inside else None
    model, tables = load_served(trained.checkpoint, config, run.encodings, calibration, drafted)
    tables_path = drafted.rename(home / f"tables-{tables.digest()[:16]}.bin") if drafted else None
    program = trace(model, inputs)
    if tables_path is None:
        write_torch(program, folder / TORCH_FILE)
    write_onnx(program, home / MODEL_FILE, inputs, model, tables, tables_path)
    outputs = outputs_of(program)
    text = config_text(name, inputs, outputs, config.train.precision)
    (home.parent / CONFIG_FILE).write_text(text, encoding="utf-8")
    return ExportIndex(
        method=config.model.method, fingerprint=trained.index.identity.fingerprint,
        encodings=run.encodings.content_hash, checkpoint=trained.digest,
        onnx=str((home / MODEL_FILE).relative_to(folder)),
        tables=str(tables_path.relative_to(folder)) if tables_path else None,
        torch=None if tables_path else TORCH_FILE, inputs=inputs, outputs=outputs,
        calibration=calibration, num_rows_checked=0, max_difference=0.0,
    )


# ---------------------------------------------------------------------------------------------
# Comparing
# ---------------------------------------------------------------------------------------------


def _compare(
    run: TrainedRun, trained: TrainedFold, calibration: Calibration, onnx_path: Path
) -> tuple[int, float]:
    """How many test rows both were given, and the largest difference of a probability.

    PyTorch's side is the model as evaluation runs it, with sharded tables and routes, and numpy's
    calibration.
    """
    onnx = OnnxModel(onnx_path)
    predict = load_predictor(
        trained.checkpoint, run.config, run.encodings, SoloWorld(), torch.device("cpu")
    )
    num_rows, largest = 0, 0.0
    for batch in _first_rows(run, trained):
        logits = Scores(*(None if logit_B is None else logit_B.numpy()
                          for logit_B in predict(batch)))
        rates = rates_of(calibrated(logits, calibration))
        theirs = {name.removesuffix("_N"): p_N for name, p_N in rates._asdict().items()
                  if p_N is not None}
        given = of_batch(batch, run.config.features)
        for rows in (slice(None), slice(0, 1)):  # a batch, and a row by itself
            ours = onnx.run({name: ids_BL[rows] for name, ids_BL in given.items()}, list(theirs))
            largest = max(
                largest, *(_difference(ours[name], p_N[rows]) for name, p_N in theirs.items())
            )
        num_rows += batch.num_rows - batch.num_padded
    return num_rows, largest


def _first_rows(run: TrainedRun, trained: TrainedFold) -> Iterator[Batch]:
    reader = SampleReader(run.config.samples.path, run.manifest, run.config.features,
                          with_keys=False)
    batch_size = run.config.evaluate.batch_size
    with reader.evaluation_batches(trained.fold.test_days, batch_size, 1, 0) as batches:
        yield from islice(batches, -(-NUM_ROWS_CHECKED // batch_size))


def _difference(ours_B: NDArray[Any], theirs_B: NDArray[Any]) -> float:
    """The largest; of quotients above 1 in units of themselves. NaN if either is."""
    return float(np.max(np.abs(ours_B - theirs_B) / np.maximum(1, theirs_B)))


if __name__ == "__main__":
    sys.exit(run_command(main, sys.argv[1:]))
