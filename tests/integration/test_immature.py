"""Labels that were not final when they were built: training leaves them out or says that it does
not, and an evaluation names the days that hold them."""

import json
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from esmm_dist.contract.command_line import run_command
from esmm_dist.contract.config import load_config, parse_config
from esmm_dist.contract.errors import InputError
from esmm_dist.contract.folds import folds_of
from esmm_dist.contract.multiplicity import Multiplicity
from esmm_dist.distributed.world import SoloWorld
from esmm_dist.evaluate import main
from esmm_dist.planning import plan_epochs
from esmm_dist.train import train_run
from tests.factories.written_samples import small_document, write_config, write_samples

ROWS_PER_DAY = 1_000
BATCH = 100
LAST_TRAIN_DAY, TEST_DAY = date(2024, 1, 2), date(2024, 1, 3)


def immature(day: date, rows: pa.Table, label_of_immature: int) -> pa.Table:
    """Of the last training day and of the test day every third row is immature."""
    if day < LAST_TRAIN_DAY:
        return rows
    is_immature = np.arange(len(rows)) % 3 == 0
    columns: dict[str, Any] = {"mature": (~is_immature).astype(np.int8)}
    if day == LAST_TRAIN_DAY:
        for name in ("click", "conversion"):
            columns[name] = np.where(is_immature, np.int8(label_of_immature), rows[name])
    for name, column in columns.items():
        place = rows.column_names.index(name)
        rows = rows.set_column(place, rows.schema.field(name), pa.array(column, pa.int8()))
    return rows


def trained(folder: Path, exclusion: str, label_of_immature: int) -> Path:
    folder.mkdir()
    document = small_document(folder)
    document["train"] |= {"immature": exclusion, "batch_size": BATCH, "steps_per_log": 1}
    write_samples(document, ROWS_PER_DAY, rows_per_file=300,
                  spoil=lambda day, rows: immature(day, rows, label_of_immature))
    config = write_config(folder, document)
    train_run(load_config(config), SoloWorld(), resume=False)
    return folder


def curve(folder: Path) -> list[dict[str, float]]:
    (path,) = (folder / "runs" / "small" / "curves").glob("*.jsonl")
    points = [json.loads(line) for line in path.read_text().splitlines()]
    return [{key: point[key] for key in ("step", "loss", "ctcvr_loss")} for point in points]


def test_rows_that_are_left_out_teach_nothing_and_take_no_step(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    num_immature = -(-ROWS_PER_DAY // 3)
    zeros, ones = (
        curve(trained(tmp_path / f"out{label}", "exclude", label)) for label in (0, 1)
    )
    assert f"{num_immature} samples of its training days are immature, left out" in (
        capsys.readouterr().err
    )
    assert zeros == ones
    assert len(zeros) == (2 * ROWS_PER_DAY - num_immature) // BATCH
    included = curve(trained(tmp_path / "in", "include", 1))
    assert len(included) == 2 * ROWS_PER_DAY // BATCH
    assert "taken as they are" in capsys.readouterr().err


def test_an_evaluation_names_immature_test_days_and_its_reference_learns_what_the_model_did(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cards = []
    for label in (0, 1):
        folder = trained(tmp_path / f"out{label}", "exclude", label)
        capsys.readouterr()
        config = str(folder / "config.yaml")
        as_of = "samples.as_of=2024-01-04T00:00:00Z"
        assert run_command(main, ["--config", config, "--set", as_of]) == 0
        cards.append(json.loads((folder / "runs/small/metrics.json").read_text()))
    (warning,) = cards[0]["run"]["warnings"]
    assert f"The test day {TEST_DAY} is immature: 334 of its 1,000 impressions" in warning
    assert "as of 2024-01-03T12:00:00+00:00, clicks by event_time" in warning
    assert f"warning: {warning}" in capsys.readouterr().err
    assert warning in (folder / "runs/small/report.html").read_text()
    assert cards[0]["pooled"]["reference"] == cards[1]["pooled"]["reference"]


def test_a_method_that_learns_from_fake_negatives_is_refused_samples_without_any(
    tmp_path: Path
) -> None:
    document = small_document(tmp_path)
    manifest = write_samples(document, ROWS_PER_DAY)
    config = parse_config(document, "small")
    wants = Multiplicity(fake_negatives=True)
    with pytest.raises(InputError, match="samples.label_stream fake_negative"):
        plan_epochs(config, folds_of(config)[0], manifest, wants, 8, SoloWorld())
