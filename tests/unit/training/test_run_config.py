"""A run's config that is not what training wrote is not taken for another one with defaults."""

from pathlib import Path

import pytest

from esmm_dist.contract.config import dump_config, load_config
from esmm_dist.contract.errors import InputError
from esmm_dist.training.run_config import CONFIG, read_run_config, write_run_config
from tests.unit.contract.conftest import MINIMAL

CHANGED = "config.yaml: it was cut short or changed after training wrote it: .*--resume"


@pytest.fixture
def run_path(tmp_path: Path) -> Path:
    write_run_config(tmp_path, load_config(MINIMAL))
    return tmp_path


def test_it_is_read_back_as_it_was_written_and_values_are_overridden(run_path: Path) -> None:
    config = load_config(MINIMAL)
    assert read_run_config(run_path) == config == load_config(run_path / CONFIG)
    assert read_run_config(run_path, ["train.seed=9"]).train.seed == 9


def test_cut_anywhere_it_is_refused(run_path: Path) -> None:
    content = (run_path / CONFIG).read_bytes()
    after_seal = content.index(b"\n") + 1
    for length in range(0, len(content), 7):
        (run_path / CONFIG).write_bytes(content[:length])
        with pytest.raises(InputError, match=CHANGED if length >= after_seal else "config.yaml"):
            read_run_config(run_path)


def test_a_value_that_was_edited_in_it_is_refused(run_path: Path) -> None:
    text = (run_path / CONFIG).read_text()
    assert "batch_size: " in text
    (run_path / CONFIG).write_text(text.replace("batch_size: ", "batch_size: 1", 1))
    with pytest.raises(InputError, match=CHANGED):
        read_run_config(run_path)


def test_one_of_an_older_version_is_taken_as_it_is(tmp_path: Path) -> None:
    (tmp_path / CONFIG).write_text(dump_config(load_config(MINIMAL)))
    assert read_run_config(tmp_path) == load_config(MINIMAL)


def test_a_missing_one_is_told_by_its_path(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"^{tmp_path / CONFIG}: No such file"):
        read_run_config(tmp_path)
