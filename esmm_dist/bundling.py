"""Makes a bundle of a run: the one place that knows a run's files and a bundle's parts.

It loads no table whole: weights pass file by file, and the sample's scores are those that the
evaluation wrote.
"""

from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from esmm_dist.calibration.maps import Rates, Scores, calibrated, rates_of
from esmm_dist.contract import bundle as form
from esmm_dist.contract.bundle import BundleIndex, Part
from esmm_dist.contract.calibration import Calibration, unclicked_in
from esmm_dist.contract.config import dump_config
from esmm_dist.contract.days import DayRange
from esmm_dist.contract.errors import InputError
from esmm_dist.contract.exported import EXPORT_INDEX, ExportIndex
from esmm_dist.contract.scored_sample import ScoredRow, ScoredSample
from esmm_dist.contract.value_kinds import agreed
from esmm_dist.evaluation.card import model_card
from esmm_dist.evaluation.prediction_files import read_parts
from esmm_dist.evaluation.predictions import Predictions
from esmm_dist.evaluation.scorecard import Scorecard
from esmm_dist.reader.listed_rows import ListedRow, listed
from esmm_dist.reader.samples import SampleReader
from esmm_dist.serving.bundle import Bundle, check_part
from esmm_dist.serving.store import BundleStore
from esmm_dist.storage.address import reason_of
from esmm_dist.storage.files import fetch
from esmm_dist.training.repack import repack
from esmm_dist.training.trained_run import TrainedFold, TrainedRun, config_of_run


def make_bundle(run: TrainedRun, store: BundleStore) -> Bundle:
    """Puts the last fold's model, which has learned from the latest days, into the store.

    The same run makes the same bundle, so that it may be made again.

    Raises:
        InputError: the run has not been evaluated since it was trained, or a file of it is damaged.
    """
    trained = run.folds[-1]
    predictions = predictions_of(run, trained)
    card = scorecard_of(run)
    calibration = calibration_of(run, card)

    def write(folder: Path) -> None:
        _write(folder / form.CONFIG, dump_config(config_of_run(run.path)))
        _write(folder / form.ENCODINGS, run.encodings.model_dump_json() + "\n")
        timeless = card.model_copy(update={
            "run": card.run.model_copy(update={"evaluated_at": None}),
        })
        _write(folder / form.METRICS, timeless.to_json())
        _write(folder / form.CALIBRATION, calibration.model_dump_json(indent=1) + "\n")
        sample = _scored_sample(run, trained, predictions, calibration)
        _write(folder / form.SAMPLE, sample.model_dump_json() + "\n")
        _write(folder / form.CARD, _card(run, card))
        exported = run.path / form.EXPORT
        if exported.is_dir():
            index = _index_of_export(exported / EXPORT_INDEX, trained, calibration)
            copy = fetch(exported, folder / form.EXPORT)
            for part in index.files:
                check_part(copy, part, exported, "export", "run esmm_dist.export again")
        repack(trained.checkpoint, trained.index, folder / form.MODEL,
               with_optimizer=run.config.publish.optimizer_state)

    return store.add(write, _index_of(run, card))


def _index_of(
    run: TrainedRun, card: Scorecard
) -> Callable[[tuple[Part, ...]], BundleIndex]:
    folds, learned = card.run.folds, run.folds[-1].fold.train_days
    kinds = agreed(day.value_kinds for day in run.manifest.select(learned, run.path.name))
    test_days = DayRange(first=folds[0].test_days.first, last=folds[-1].test_days.last)

    def index_of(parts: tuple[Part, ...]) -> BundleIndex:
        return BundleIndex(
            run=run.path.name, method=run.config.model.method,
            fingerprint=run.manifest.fingerprint, encodings=run.encodings.content_hash,
            train_days=folds[-1].train_days, test_days=test_days, manifest=run.manifest.number,
            parent=run.folds[-1].index.parent, value_kinds=kinds, parts=parts,
        )

    return index_of


def scorecard_of(run: TrainedRun) -> Scorecard:
    """What the evaluation of a run found.

    Raises:
        InputError: it has not been evaluated, or its metrics cannot be read.
    """
    path = run.path / form.METRICS
    try:
        return Scorecard.model_validate_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: {reason_of(error)}: run esmm_dist.evaluate first") from None
    except ValidationError:
        raise InputError(f"{path}: no readable metrics: run esmm_dist.evaluate again") from None


def predictions_of(run: TrainedRun, trained: TrainedFold) -> Predictions:
    """What the evaluation predicted with the very checkpoint that is published.

    Raises:
        InputError: they are missing, or of another checkpoint.
    """
    directory = run.path / "predictions" / trained.fold.name
    predictions, origin = read_parts(directory)
    if origin.checkpoint != trained.digest:
        raise InputError(
            f"{directory}: predicted by another checkpoint than {trained.checkpoint}: run "
            "esmm_dist.evaluate again"
        )
    return predictions


def calibration_of(run: TrainedRun, card: Scorecard) -> Calibration:
    """What the run's predictions are mapped by, as its evaluation found it."""
    if card.calibration is not None:
        return card.calibration.calibration
    return Calibration(unclicked=unclicked_in(run.config))


def _index_of_export(
    path: Path, trained: TrainedFold, calibration: Calibration
) -> ExportIndex:
    """Refuses what was exported of another model than the one that is published."""
    index = ExportIndex.parse(path.read_text(encoding="utf-8"), str(path))
    if index.checkpoint != trained.digest:
        raise InputError(
            f"{path}: exported of another checkpoint than {trained.checkpoint}: run "
            "esmm_dist.export again"
        )
    if index.calibration != calibration:
        raise InputError(
            f"{path}: exported with another calibration than the evaluation found: run "
            "esmm_dist.export again"
        )
    if not index.files:
        raise InputError(
            f"{path}: it names no checksums, so that no damage would be seen: run "
            "esmm_dist.export again"
        )
    return index


def _card(run: TrainedRun, card: Scorecard) -> str:
    fold = run.folds[-1].learned
    return model_card(
        run.config, card, card.run.folds[-1],
        run.manifest.select(fold.train_days, run.config.samples.path), run.test_days(), notes=(),
    )


# ---------------------------------------------------------------------------------------------
# The sample
# ---------------------------------------------------------------------------------------------


def _scored_sample(
    run: TrainedRun, trained: TrainedFold, predictions: Predictions, calibration: Calibration
) -> ScoredSample:
    """The first rows of the last test day with what the evaluation predicted of them."""
    day = trained.fold.test_days[-1]
    rows = _listed_rows(run, trained)
    of_day = predictions.take(predictions.day_N == np.datetime64(day))
    places = np.searchsorted(of_day.sample_id_N, [row.sample_id for row in rows])
    of_rows = of_day.take(places)
    assert [row.sample_id for row in rows] == of_rows.sample_id_N.tolist(), "a row is missing"
    scores = Scores(of_rows.ctr_logit_N, of_rows.cvr_logit_N, of_rows.ctcvr_logit_N,
                    of_rows.cvr_log_p_N)
    rates = rates_of(calibrated(scores, calibration))
    return ScoredSample(rows=tuple(
        _scored_row(row, n, scores, rates) for n, row in enumerate(rows)
    ))


def _listed_rows(run: TrainedRun, trained: TrainedFold) -> list[ListedRow]:
    features = run.config.features
    reader = SampleReader(run.config.samples.path, run.manifest, features, with_keys=True)
    num_rows = run.config.publish.num_sample_rows
    with reader.evaluation_batches([trained.fold.test_days[-1]], num_rows, 1, 0) as batches:
        return [row for batch in islice(batches, 1) for row in listed(batch, features)]


def _scored_row(row: ListedRow, n: int, scores: Scores, rates: Rates) -> ScoredRow:
    def at(values_N: NDArray[Any] | None) -> float | None:
        return None if values_N is None else float(values_N[n])

    return ScoredRow(
        sample_id=row.sample_id, ids=dict(row.ids), weights=dict(row.weights),
        ctr_logit=at(scores.ctr_logit_N), cvr_logit=at(scores.cvr_logit_N),
        ctcvr_logit=at(scores.ctcvr_logit_N), cvr_log_p=at(scores.cvr_log_p_N),
        p_ctr=at(rates.p_ctr_N), p_cvr=at(rates.p_cvr_N), p_ctcvr=at(rates.p_ctcvr_N),
    )


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
