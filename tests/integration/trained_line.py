"""A model that learns day after day: its trainings, and what their checkpoints hold."""

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
import yaml

from esmm_dist.assembly import assemble
from esmm_dist.contract.bundle import CURRENT
from esmm_dist.contract.command_line import run_command
from esmm_dist.contract.config import load_config
from esmm_dist.contract.encodings import Encodings, num_rows_of_table
from esmm_dist.contract.row_space import NUM_BUCKETS, RowSpace, bucket_of
from esmm_dist.distributed.world import SoloWorld
from esmm_dist.publish import main as publish
from esmm_dist.serving.store import BundleStore
from esmm_dist.train import train_run
from esmm_dist.training.checkpoint import Index, latest_checkpoint, read_towers
from tests.factories.checkpoints import whole_tables
from tests.factories.experiments import Experiment
from tests.factories.written_samples import small_document, write_samples
from tests.integration.horovodrun import horovodrun
from tests.integration.logged import objects_in
from tests.oracles.tables import rows_by_table

ROWS_OF_DAY, BATCH_SIZE = 1200, 240
STEPS_OF_DAY = ROWS_OF_DAY // BATCH_SIZE


class Line:
    """Days learned one after the other: a model of day n is tested on day n + 1."""

    def __init__(
        self, folder: Path, encodings: Encodings = Encodings(),
        spoil: Callable[[date, pa.Table], pa.Table] = lambda day, rows: rows,
    ) -> None:
        """
        Args:
            encodings: users have a vocabulary if these hold one.
        """
        self.document = small_document(folder, num_train_days=2, num_test_days=3)
        if encodings.vocabularies:
            self.document["features"][0]["encode"] = {"min_count": 1}
        self.document["train"]["batch_size"] = BATCH_SIZE
        self.document["publish"] = {"path": str(folder / "bundles")}
        self.document["samples"]["fit_days"] = {"first": "2024-01-01", "last": "2024-01-01"}
        manifest = write_samples(self.document, num_rows_of_day=ROWS_OF_DAY, spoil=spoil,
                                 encodings=encodings)
        self.experiment = Experiment(folder, self.document, manifest)
        self.store = BundleStore(folder / "bundles")

    def train(
        self, day: int, first: int | None = None, resume: bool = False, num_ranks: int = 1,
        **train: Any,
    ) -> "Trained":
        """Learns the days from the first one on, or the one day."""
        begin, today, tomorrow = (f"2024-01-0{n}" for n in (first or day, day, day + 1))
        document = self.document | {
            "train": self.document["train"] | {"days": {"first": begin, "last": today}} | train,
            "evaluate": self.document["evaluate"] | {"days": {"first": tomorrow, "last": tomorrow}},
        }
        text = yaml.safe_dump(document, sort_keys=False)
        self.experiment.config_path.write_text(text, encoding="utf-8")
        if num_ranks == 1:
            train_run(load_config(self.experiment.config_path), SoloWorld(), resume=resume)
        else:
            done = horovodrun(num_ranks, "-m", "esmm_dist.train", "--config",
                              self.experiment.config_path, environment={"ESMM_DIST_LOG": "json"})
            assert done.returncode == 0, done.stdout
            self.logged = objects_in(done.stdout)
        return Trained(self.experiment.run_path / "checkpoints" / tomorrow)

    def publish(self, *flags: str) -> str:
        """Evaluates what was trained and puts it into service; returns its name."""
        assert self.experiment.evaluate() == 0
        assert run_command(publish, ["--config", str(self.experiment.config_path), *flags]) == 0
        return self.store.aliases.of_alias()[CURRENT]

    def users_of(self, day: int) -> set[int]:
        """The ids of a day's samples."""
        (built,) = [d for d in self.experiment.manifest.days if d.day == date(2024, 1, day)]
        paths = [self.experiment.samples_path / file.path for file in built.files]
        return {row for path in paths
                for row in pq.ParquetFile(path).read(["user_id"])["user_id"].to_pylist()}

    def rows_at_first(self, table: str) -> torch.Tensor:
        """What the rows of a table begin as."""
        config = load_config(self.experiment.config_path)
        tables = assemble(config, Encodings(), SoloWorld(), torch.device("cpu"),
                          for_training=True).tables
        space = RowSpace(num_rows_of_table(config.features, Encodings()))
        return rows_by_table(tables.state()["shared/rows"], space)[table]


class Trained:
    """The last checkpoint of a fold."""

    def __init__(self, folder: Path) -> None:
        checkpoint = latest_checkpoint(folder)
        assert checkpoint is not None
        self.index = Index.read(checkpoint)
        self.towers = read_towers(checkpoint, self.index)
        self.tables = whole_tables(checkpoint, self.index)

    @property
    def num_tower_steps(self) -> int:
        """As Adam counts them."""
        name = next(name for name in self.towers if name.endswith("/step"))
        return int(self.towers[name])

    def rows(self, table: str, ids: range) -> torch.Tensor:
        """The vectors of some ids."""
        slots = RowSpace(self.index.num_rows_of_table).slots_of_table[table]
        (vectors,) = [tensor for name, tensor in self.tables.items() if name.endswith("/rows")]
        return torch.stack([vectors[bucket_of(n), slots[n // NUM_BUCKETS]] for n in ids])

    def rows_seen(self, table: str) -> dict[int, int]:
        """The ids that have not expired, with the day on which each was last seen."""
        days = self._by_table("shared/last_seen", table).tolist()
        return {row: day for row, day in enumerate(days) if day}

    def rows_moved(self, table: str, at_first: torch.Tensor) -> set[int]:
        """The ids whose rows are not what they were at first."""
        moved = (self._by_table("shared/rows", table) != at_first).any(1)
        return set(moved.nonzero().flatten().tolist())

    def _by_table(self, name: str, table: str) -> torch.Tensor:
        return rows_by_table(self.tables[name], RowSpace(self.index.num_rows_of_table))[table]

    def weights(self) -> dict[str, torch.Tensor]:
        towers = {n: t for n, t in self.towers.items() if n.startswith("parameter/")}
        return towers | {n: t for n, t in self.tables.items() if n.endswith("/rows")}

    def is_close_to(self, other: "Trained") -> bool:
        return all(is_close(tensor, other.weights()[name])
                   for name, tensor in self.weights().items())


def is_close(one: torch.Tensor, other: torch.Tensor) -> bool:
    return torch.allclose(one, other, rtol=0, atol=1e-6)
