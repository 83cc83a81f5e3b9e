"""A small experiment, trained in this process, for tests of what comes after training."""

import shutil
from pathlib import Path
from typing import Any

from esmm_dist.contract.command_line import run_command
from esmm_dist.contract.config import load_config
from esmm_dist.contract.manifest import Manifest
from esmm_dist.distributed.world import SoloWorld
from esmm_dist.evaluate import main
from esmm_dist.train import train_run
from tests.factories.written_samples import small_document, write_config, write_samples

FOLDS = ["2024-01-03", "2024-01-04"]
ROWS_PER_DAY = 3000


class Experiment:
    """A config file and the folder of its run."""

    def __init__(self, folder: Path, document: dict[str, Any], manifest: Manifest) -> None:
        self.config_path = write_config(folder, document)
        self.run_path = Path(document["runs_path"]) / document["name"]
        self.samples_path = Path(document["samples"]["path"])
        self.manifest = manifest

    def evaluate(self, *arguments: str) -> int:
        """The command's exit status."""
        return run_command(main, ["--config", str(self.config_path), *arguments])

    def copy(self, folder: Path) -> "Experiment":
        """The same, to be spoilt."""
        document = load_config(self.config_path).model_dump(mode="json")
        shutil.copytree(self.run_path, folder / "runs" / "small")
        shutil.copytree(self.samples_path, folder / "samples")
        document["runs_path"] = str(folder / "runs")
        document["samples"]["path"] = str(folder / "samples")
        write_config(folder / "runs" / "small", document)
        return Experiment(folder, document, self.manifest)


def train_experiment(folder: Path, **sections: Any) -> Experiment:
    """Two folds of one day each, trained daily.

    Args:
        sections: of the config, beside those that it has.
    """
    document = small_document(folder, num_test_days=2) | {"note": "Rows made up for tests."}
    document |= sections
    document["evaluate"]["retrain"] = "daily"
    manifest = write_samples(document, num_rows_of_day=ROWS_PER_DAY)
    experiment = Experiment(folder, document, manifest)
    train_run(load_config(experiment.config_path), SoloWorld(), resume=False)
    return experiment
