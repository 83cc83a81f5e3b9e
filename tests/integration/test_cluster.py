"""Jobs on a standalone cluster of two workers, which know nothing of the package.

They build what local mode builds and score as the trainer predicts; one that is killed while it
writes costs a retry.
"""

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from esmm_dist import evaluate, export, publish
from esmm_dist.calibration.maps import Scores, calibrated, rates_of
from esmm_dist.contract.calibration import Calibration
from esmm_dist.contract.command_line import run_command
from esmm_dist.contract.config import dump_config, parse_config
from esmm_dist.contract.manifest import Day, read_manifest
from esmm_dist.contract.scores import ScoresManifest
from esmm_dist.contract.sections import Config
from esmm_dist.distributed.world import SoloWorld
from esmm_dist.evaluation.prediction_files import read_parts
from esmm_dist.samples.build import Builder
from esmm_dist.serving.store import store_of
from esmm_dist.simulate import main as simulate
from esmm_dist.train import train_run
from jobs.score_impressions import score, shipped
from tests.factories.built_samples import sample_id
from tests.factories.raw_logs import config_of, dirty_logs, write_logs
from tests.factories.simulated_logs import files_of, simulation_config
from tests.integration.killed_job import kill_job_when
from tests.integration.logged import objects_in
from tests.integration.standalone_cluster import NUM_WORKERS, Cluster, cluster, submit, submitted
from tests.oracles.log_rows import Rules

# Several jobs and three more processes of Spark's: minutes where the machine is busy.
pytestmark = [pytest.mark.spark, pytest.mark.slow, pytest.mark.timeout(900)]

DAYS = TRAIN_DAY, TEST_DAY = date(2026, 3, 1), date(2026, 3, 2)
HOUR = timedelta(hours=1)
RULES = Rules(ZoneInfo("UTC"), 24 * HOUR, 24 * HOUR, ("order",))
PROBABILITIES = ("p_ctr", "p_cvr", "p_ctcvr")
TOLERANCE = 1e-6


@pytest.fixture(scope="module")
def standalone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster(tmp_path_factory.mktemp("standalone") / "cluster") as running:
        yield running


@pytest.fixture(scope="module")
def built(standalone: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with logs, and their samples as the cluster has built them."""
    folder = tmp_path_factory.mktemp("there")
    write_dirty_logs(folder)
    output = submit(folder, standalone.address, "build_samples",
                    "--config", str(write(config_in(folder))))
    logged = [one for one in objects_in(output) if one["event"] == "built"]
    assert [one["built_day"] for one in logged] == list(map(str, DAYS))
    for one in logged:
        assert (one["command"], one["run_id"]) == ("build_samples", "join")
        assert one["day"] == str(DAYS[1])
        assert one["num_rows"] > one["num_clicks"] > one["num_conversions"] > 0
    return folder


def write_dirty_logs(folder: Path) -> None:
    logs = dirty_logs(3, 600, list(DAYS), RULES, is_partitioned=True)
    write_logs(logs, folder, is_partitioned=True, num_files=2, seed=1)


def config_in(folder: Path) -> Config:
    """Of a folder's logs: a small model learns the first day and predicts the second."""
    document = config_of(folder, True, RULES, *DAYS).model_dump(mode="json")
    first, second = ({"first": day, "last": day} for day in map(str, DAYS))
    document |= {
        "runs_path": str(folder / "runs"), "publish": {"path": str(folder / "bundles")},
        "train": {"days": first, "batch_size": 64}, "evaluate": {
            "days": second, "num_bootstraps": 100,
        },
        "model": {"embedding_dim": 4, "hidden_units": [8]},
    }
    document["samples"]["fit_days"] = first
    return parse_config(document, "the test")


def write(config: Config) -> Path:
    path = Path(config.runs_path).parent / "config.yaml"
    path.write_text(dump_config(config), encoding="utf-8")
    return path


def contents(folder: Path, day: Day) -> list[bytes]:
    return [(folder / "samples" / file.path).read_bytes() for file in day.files]


def test_two_workers_build_what_local_mode_builds(
    spark: SparkSession, standalone: Cluster, built: Path, tmp_path: Path
) -> None:
    assert len(standalone.executors()) == NUM_WORKERS
    assert len(list(standalone.folder.glob("work/app-*/*/esmm_dist.zip"))) == NUM_WORKERS
    write_dirty_logs(tmp_path)
    local = Builder(spark, config_in(tmp_path), refit=False).build(DAYS)
    clustered = read_manifest(built / "samples")
    assert [day.day for day in local.days] == list(DAYS)
    for one, other in zip(local.days, clustered.days, strict=True):
        assert one.counters == other.counters
        assert contents(tmp_path, one) == contents(built, other), "byte for byte"


# ---------------------------------------------------------------------------------------------
# Scores
# ---------------------------------------------------------------------------------------------


def scores_in(folder: Path) -> tuple[ScoresManifest, pa.Table]:
    """The latest manifest, and the rows that it lists, in order of what they hold."""
    path = folder / "runs" / "join" / "scores"
    latest = max((path / "_manifests").glob("*.json"))
    manifest = ScoresManifest.parse(latest.read_text(encoding="utf-8"), str(latest))
    files = [path / file.path for day in manifest.days for file in day.files]
    rows = pa.concat_tables([pq.ParquetFile(file).read() for file in files])
    return manifest, rows.sort_by([(name, "ascending") for name in rows.column_names])


def trainers_probabilities(folder: Path) -> dict[int, list[float]]:
    """What evaluation predicted of the test day, by sample."""
    found, _ = read_parts(folder / "runs" / "join" / "predictions" / str(TEST_DAY))
    rates = rates_of(calibrated(Scores(found.ctr_logit_N, found.cvr_logit_N), Calibration()))
    columns = [column for column in rates if column is not None]
    return dict(zip(found.sample_id_N.tolist(), np.column_stack(columns).tolist()))


def test_two_workers_score_as_the_trainer_predicts_and_a_kill_costs_a_retry(
    spark: SparkSession, standalone: Cluster, built: Path
) -> None:
    config = config_in(built)
    flags = ["--config", str(write(config))]
    train_run(config, SoloWorld(), resume=False)
    for command in (evaluate.main, export.main, publish.main):
        assert run_command(command, flags) == 0
    bundle = store_of(config).open("current")
    score(spark, config, bundle, shipped(bundle), [TEST_DAY])
    manifest, rows = scores_in(built)
    expect_trainers_probabilities(built, rows)

    drafts = built / "runs" / "join" / "scores" / "_drafts"
    kill_job_when(
        lambda: any(drafts.glob("*/_temporary")),
        submitted(built, standalone.address, "score_impressions", *flags),
    )
    assert any(drafts.iterdir()), "it was killed before it could tidy up"
    after_kill, same_rows = scores_in(built)
    assert after_kill == manifest and same_rows.equals(rows), "the last good scores stay"

    before = standalone.executors()
    submit(built, standalone.address, "score_impressions", *flags)
    assert len(standalone.executors()) == len(before) + NUM_WORKERS
    retried, same_rows = scores_in(built)
    assert retried.number == manifest.number + 1 and same_rows.equals(rows), "as local mode does"
    (first,), (second,) = manifest.days, retried.days
    assert (second.bundle, second.num_rows) == (first.bundle, first.num_rows)
    assert second.build_id != first.build_id


def expect_trainers_probabilities(folder: Path, rows: pa.Table) -> None:
    """Each row of the log has a score, which of samples is what the evaluation predicted."""
    log = pq.read_table(folder / "impressions" / f"dt={TEST_DAY}", partitioning=None)
    assert rows.num_rows == log.num_rows
    found: dict[int, list[list[float]]] = {}
    for row in rows.to_pylist():
        if row["impression_id"] is not None:
            of_row = [row[name] for name in PROBABILITIES]
            found.setdefault(sample_id(row["impression_id"]), []).append(of_row)
    for number, expected in trainers_probabilities(folder).items():
        # Rows that say otherwise of an impression are scored too.
        gaps = np.abs(np.array(found[number]) - expected).max(axis=1)
        assert gaps.min() <= TOLERANCE
    assert len({tuple(p) for of_id in found.values() for p in of_id}) > 2, "rows differ"


# ---------------------------------------------------------------------------------------------
# Simulation
# ---------------------------------------------------------------------------------------------


def test_two_workers_draw_the_logs_that_one_process_draws(
    standalone: Cluster, tmp_path: Path
) -> None:
    there, here = tmp_path / "there", tmp_path / "here"
    for folder in (there, here):
        folder.mkdir()
        write(simulation_config(folder, impressions_per_day=300))
    submit(there, standalone.address, "simulate_logs", "--config", str(there / "config.yaml"))
    assert run_command(simulate, ["--config", str(here / "config.yaml"), "--workers", "1"]) == 0
    for name in ("impressions", "clicks", "conversions", "simulated"):
        assert files_of(there / name) == files_of(here / name) != {}
    assert (there / "simulated" / "simulation.json").exists()
