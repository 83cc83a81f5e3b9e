"""Simulated logs through the ordinary builder: every label is the truth's, every kind of dirt is
counted as it was put in, and processes and Spark draw the same files."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from esmm_dist.contract.command_line import run_command
from esmm_dist.contract.config import dump_config
from esmm_dist.contract.folds import days_of
from esmm_dist.simulate import main
from esmm_dist.simulation.parts import Part
from esmm_dist.simulation.run import PartWriter, simulate
from tests.factories.simulated_logs import (
    ALL_DIRT,
    files_of,
    read_log,
    read_truth,
    simulation_config,
)

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.spark

LAST_DAY = "2026-03-02"


def columns_of(paths: Sequence[Path], *names: str) -> list[Any]:
    tables = [pq.ParquetFile(path).read(columns=list(names)) for path in paths]
    return [np.concatenate([table[name].to_numpy() for table in tables]) for name in names]


def test_dirty_logs_are_built_to_their_true_labels_and_every_fate_is_counted(
    spark: "SparkSession", tmp_path: Path
) -> None:
    from esmm_dist.samples.build import Builder

    config = simulation_config(
        tmp_path, dirt=ALL_DIRT, confounding=0.5,
        delays={"field": "brand", "mean_click_seconds": 3000.0, "mean_conversion_hours": 8.0},
    )

    def write_parts(write: PartWriter, parts: Sequence[Part]) -> None:
        spark.sparkContext.parallelize(parts, len(parts)).foreach(write)

    put_in: Counter[str] = Counter()
    for tally in simulate(config, "test", write_parts, replace=False).tally_of_day.values():
        put_in.update(tally)
    manifest = Builder(spark, config, refit=False).build(days_of(config.samples.days))

    truth = read_truth(tmp_path / "simulated")
    of_truth = {row["sample_id"]: (row["click"], row["conversion"]) for row in truth.to_pylist()}
    paths = [tmp_path / "samples" / file.path for day in manifest.days for file in day.files]
    of_samples = {i: (c, v) for i, c, v in zip(*columns_of(
        paths, "sample_id", "click", "conversion"))}
    assert {i: of_samples[i] for i in of_truth} == of_truth
    # What no truth knows of are the bots: all clicked, none converted.
    others = [labels for i, labels in of_samples.items() if i not in of_truth]
    assert others == [(1, 0)] * int(put_in["impressions_of_bots"]) and others

    counted: Counter[str] = Counter()
    for day in manifest.days:
        counted.update(day.counters)
    check_by_impression(counted, put_in)
    check_by_folder(tmp_path, counted, put_in)
    check_orphans(tmp_path, counted, put_in)

    # The same files by processes of one machine.
    other = simulation_config(tmp_path / "b", **{
        key: value for key, value in config.model_dump(mode="json")["simulate"].items()
        if key != "path"})
    (tmp_path / "b" / "config.yaml").parent.mkdir()
    (tmp_path / "b" / "config.yaml").write_text(dump_config(other), encoding="utf-8")
    assert run_command(main, ["--config", str(tmp_path / "b" / "config.yaml"),
                              "--workers", "2"]) == 0
    for name in ("impressions", "clicks", "conversions", "simulated"):
        assert files_of(tmp_path / name) == files_of(tmp_path / "b" / name) != {}


def check_by_impression(counted: Counter[str], put_in: Counter[str]) -> None:
    """What is counted with its impression, in whatever folder it lies."""
    for name in ("impressions_repeated", "impressions_conflicting", "clicks_repeated",
                 "clicks_before_impression", "conversions_before_click",
                 "conversions_without_click"):
        assert counted[name] == put_in[name] > 0, name
    assert counted["impressions_out"] == put_in["impressions"] + put_in["impressions_of_bots"]
    assert counted["clicks_credited"] == put_in["clicks"] + put_in["clicks_of_bots"]
    assert counted["conversions_credited"] == put_in["conversions"]


def check_by_folder(folder: Path, counted: Counter[str], put_in: Counter[str]) -> None:
    """What is counted by the day it is filed under; nobody builds the days after the last."""
    for log in ("impressions", "clicks", "conversions"):
        rows = read_log(folder / log)
        is_built = rows["dt"].to_numpy() <= LAST_DAY
        assert counted[f"{log}_in"] == is_built.sum()
        for fate, column in (("null_id", "impression_id"), ("null_time", "event_time")):
            is_null = rows[column].is_null().to_numpy()
            assert is_null.sum() == put_in[f"{log}_{fate}"] > 0
            assert counted[f"{log}_{fate}"] == (is_null & is_built).sum()
    rows = read_log(folder / "impressions")
    num_late = (rows["dt"].to_numpy() > LAST_DAY).sum()
    assert 0 < num_late and counted["impressions_misfiled"] + num_late == put_in[
        "impressions_misfiled"]


def check_orphans(folder: Path, counted: Counter[str], put_in: Counter[str]) -> None:
    """Orphans over the range (docs/samples.md). Events filed after the last day have no build that
    counts them as without impression; conversions long after their window are read by no build of
    their impression's day."""
    for log in ("clicks", "conversions"):
        rows = read_log(folder / log)
        is_whole = rows["impression_id"].is_valid().to_numpy()
        is_whole &= rows["event_time"].is_valid().to_numpy()
        num_beyond = (is_whole & (rows["dt"].to_numpy() > LAST_DAY)).sum()
        net = counted[f"{log}_without_impression"] - counted[f"{log}_from_other_days"]
        in_vain = put_in[f"{log}_clean"] - put_in[log]
        unread = in_vain - counted[f"{log}_after_window"]
        unread += put_in[f"{log}_repeated"] - counted[f"{log}_repeated"]
        assert net + num_beyond == put_in[f"{log}_orphaned"] + unread
        assert put_in[f"{log}_orphaned"] > 0 and unread >= 0
        assert counted[f"{log}_from_other_days"] >= put_in[f"{log}_late"] > 0
