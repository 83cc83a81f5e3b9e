"""A training that is killed at whatever moment goes on to the same end, and leaves nothing over."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from esmm_dist.contract.config import load_config
from esmm_dist.distributed.world import SoloWorld
from esmm_dist.storage.files import files_below
from esmm_dist.train import train_run
from esmm_dist.training.curve import read_curve
from tests.factories.written_samples import small_document, write_config, write_samples
from tests.integration.horovodrun import ROOT

FOLD = "2024-01-03"
# Of a run: what has its name or times in it, and drafts of some hundred bytes.
NOT_COMPARED = ("config.yaml", ".config.yaml.", "curves/.", "events/")


def left_by(run: Path) -> dict[str, Any]:
    """All that a run holds of checkpoints and curves, by file."""
    found: dict[str, Any] = {}
    for path in files_below(run):
        name = str(path.relative_to(run))
        if name.startswith(NOT_COMPARED):
            continue
        if path.suffix == ".safetensors":
            found[name] = {key: t.tolist() for key, t in load_file(path).items()}
        elif path.suffix == ".jsonl":
            found[name] = [point["loss"] for point in read_curve(path)]
        else:
            found[name] = path.read_text()
    return found


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_run_killed_at_any_moment_ends_as_if_nothing_had_been(tmp_path: Path) -> None:
    """Twice: the first time, and when it goes on."""
    document = small_document(tmp_path)
    document["train"] |= {"steps_per_checkpoint": 1, "num_checkpoints_kept": 1, "steps_per_log": 1}
    document["embedding"] = {"expire_days": 1, "admit_after": 2}
    write_samples(document, num_rows_of_day=240, rows_per_file=200)  # two steps
    (tmp_path / "whole").mkdir()
    whole = write_config(tmp_path / "whole", document | {"name": "whole"})
    train_run(load_config(whole), SoloWorld(), resume=False)
    expected = left_by(tmp_path / "runs" / "whole")
    assert len(expected) == 4 and len(expected[f"curves/{FOLD}.jsonl"]) == 2

    command = [sys.executable, "-m", "tests.integration.training_killed",
               str(write_config(tmp_path, document))]
    num_kills = 0
    with subprocess.Popen(
        command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
    ) as trainer:
        assert trainer.stdin is not None and trainer.stdout is not None
        try:
            while told := trainer.stdout.readline():
                assert left_by(tmp_path / "runs" / "small") == expected, num_kills
                if told != "killed\n":
                    break
                num_kills += 1
                trainer.stdin.write("on\n")
                trainer.stdin.flush()
            assert trainer.wait(60) == 0
        finally:
            trainer.kill()
    assert num_kills > 30, "everything that it does to the disk"
