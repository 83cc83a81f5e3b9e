"""Samples that were left out are made up for, and maps of held-out days reach what is served."""

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from esmm_dist.calibration.maps import Scores, calibrated, rates_of
from esmm_dist.contract.calibration import Calibration
from esmm_dist.contract.command_line import run_command
from esmm_dist.contract.config import load_config
from esmm_dist.distributed.world import SoloWorld
from esmm_dist.evaluation.scorecard import Scorecard
from esmm_dist.publish import main as publish
from esmm_dist.serving.store import BundleStore
from esmm_dist.train import train_run
from tests.factories.experiments import Experiment
from tests.factories.predictions import known
from tests.factories.written_samples import small_document, write_samples

RATE = 0.25
TRAIN_DAYS = {"first": "2024-01-01", "last": "2024-01-02"}


def thinned(day: date, rows: pa.Table) -> pa.Table:
    """Of the training days a share of the un-clicked rows, with weights that make up for them."""
    if day > date(2024, 1, 2):
        return rows
    click = rows["click"].to_numpy() == 1
    is_kept = np.random.default_rng(day.day).random(len(click)) < RATE
    kept = rows.filter(pa.array(click | is_kept))
    weight = np.where(kept["click"].to_numpy() == 1, 1, 1 / RATE).astype(np.float32)
    place = kept.schema.get_field_index("weight")
    return kept.set_column(place, kept.schema.field(place), pa.array(weight))


def run(folder: Path, samples: Path, document: dict[str, Any]) -> Experiment:
    """Trains and evaluates on samples that are there."""
    document["samples"]["path"] = str(samples)
    document["publish"] = {"path": str(folder / "bundles")}
    experiment = Experiment(folder, document, manifest=None)  # type: ignore[arg-type]
    train_run(load_config(experiment.config_path), SoloWorld(), resume=False)
    assert experiment.evaluate() == 0
    return experiment


def scorecard(experiment: Experiment) -> Scorecard:
    text = (experiment.run_path / "metrics.json").read_text(encoding="utf-8")
    return Scorecard.model_validate_json(text)


def document_of(folder: Path, unclicked: str) -> dict[str, Any]:
    folder.mkdir(exist_ok=True)
    document = small_document(folder, num_test_days=2)
    document["samples"] |= {"unclicked_rate": RATE, "unclicked_days": TRAIN_DAYS}
    document["train"] |= {"unclicked": unclicked, "num_epochs": 4}
    return document


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("thinned")
    document = document_of(folder, "weighted")
    write_samples(document, num_rows_of_day=6000, spoil=thinned)
    return Path(document["samples"]["path"])


@pytest.mark.parametrize("unclicked", ["weighted", "corrected"])
def test_rates_are_those_over_all_impressions_by_either_way(
    tmp_path: Path, samples: Path, unclicked: str
) -> None:
    """Neither is 4 times too high in its odds, as doing nothing is, or too low, as doing both is.
    """
    experiment = run(tmp_path, samples, document_of(tmp_path, unclicked))
    found = scorecard(experiment).pooled.model
    for metric in ("ctr_pcoc", "cvr_pcoc_click", "ctcvr_pcoc"):
        value = found[metric].value
        assert value is not None and 0.85 < value < 1.15, metric


def test_maps_of_the_first_test_day_are_published_and_served(
    tmp_path: Path, samples: Path
) -> None:
    document = document_of(tmp_path, "corrected")
    document["calibrate"] = {"method": "isotonic",
                             "days": {"first": "2024-01-03", "last": "2024-01-03"}}
    experiment = run(tmp_path, samples, document)
    card = scorecard(experiment).calibration
    assert card is not None
    assert card.days.first == card.days.last == date(2024, 1, 4)
    report = (experiment.run_path / "report.html").read_text(encoding="utf-8")
    assert "Before and after calibration" in report

    assert run_command(publish, ["--config", str(experiment.config_path)]) == 0
    bundle = BundleStore(tmp_path / "bundles").current()
    assert bundle is not None
    assert bundle.calibration == card.calibration
    assert bundle.calibration.unclicked == "corrected" and set(bundle.calibration.maps) == {
        "ctr", "cvr",
    }
    assert "## Calibration" in bundle.text("model_card.md")
    rows = bundle.sample.rows
    scores = Scores(np.array([row.ctr_logit for row in rows], dtype=float),
                    np.array([row.cvr_logit for row in rows], dtype=float))
    served = rates_of(calibrated(scores, bundle.calibration))
    expected = np.array([row.p_ctcvr for row in rows], dtype=float)
    np.testing.assert_allclose(known(served.p_ctcvr_N), expected)
    as_predicted = rates_of(calibrated(scores, Calibration()))
    assert np.abs(known(served.p_ctr_N) - known(as_predicted.p_ctr_N)).max() > 1e-3
