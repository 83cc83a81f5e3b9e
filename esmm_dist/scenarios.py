"""Simulated worlds that differ in a few keys: each drawn, and its samples built, in a folder of
its own, once.
"""

import multiprocessing
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from esmm_dist.contract.config import parse_config
from esmm_dist.contract.errors import InputError
from esmm_dist.contract.folds import days_of
from esmm_dist.contract.manifest import read_manifest
from esmm_dist.contract.sections import Config
from esmm_dist.contract.settings import check_settings
from esmm_dist.simulate import written
from esmm_dist.simulation.parts import Part
from esmm_dist.simulation.record import check_drawn_as
from esmm_dist.simulation.run import PartWriter, simulate
from esmm_dist.storage.address import path_of

LOGS = ("impressions", "clicks", "conversions")


def scenario_config(
    config: Config, folder: Path, seed: int, changes: Mapping[str, Any]
) -> Config:
    """The config with logs, truth, samples and runs in a folder of their own.

    Args:
        seed: of the world.
        changes: keys of `simulate`, or of a section of it as in rates.ctr, with their values.
    """
    document = config.model_dump(mode="json")
    for log in LOGS:
        document["logs"][log]["path"] = str(folder / log)
    document |= {"name": folder.name, "runs_path": str(folder / "runs")}
    document["samples"]["path"] = str(folder / "samples")
    document["simulate"] |= {"path": str(folder / "simulated"), "seed": seed}
    for key, value in changes.items():
        section, _, last = key.rpartition(".")
        (document["simulate"][section] if section else document["simulate"])[last] = value
    told = ", ".join(f"simulate.{key} = {value}" for key, value in changes.items())
    return parse_config(document, told or "simulate")


def draw_and_build(configs: Sequence[Config]) -> None:
    """Draws the logs and builds the samples of all worlds that lack them, and says which.

    Raises:
        InputError: a folder holds a world drawn by other settings.
    """
    missing = [config for config in configs if not is_built(config)]
    draw(missing)
    build(missing)


def draw(configs: Sequence[Config]) -> None:
    """Draws logs and truths; parts that are there stay."""
    for number, config in enumerate(configs, start=1):
        print(f"[{number}/{len(configs)}] drawing {config.name}", file=sys.stderr)
        simulate(config, config.name, _write_parts, replace=False)


def build(configs: Sequence[Config]) -> None:
    """Builds the samples of all days, in a process of its own: Spark's memory ends with it."""
    if configs:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, mp_context=context) as pool:
            pool.submit(_build, [config.model_dump_json() for config in configs]).result()


def is_built(config: Config) -> bool:
    """Whether the samples of all days are there, by these settings.

    Raises:
        InputError: those that are there follow other settings.
    """
    if not path_of(config.samples.path).is_dir():
        return False
    try:
        manifest = read_manifest(config.samples.path)
        manifest.select(days_of(config.samples.days), config.samples.path)
    except InputError:
        return False
    check_settings(manifest, config, config.samples.path)
    if config.simulate is not None:
        check_drawn_as(config)
    return True


def _write_parts(write: PartWriter, parts: Sequence[Part]) -> None:
    for _ in written(write, parts, num_workers=1):
        pass


def _build(configs: Sequence[str]) -> None:
    from esmm_dist.samples.build import Builder
    from esmm_dist.samples.session import open_session

    spark = open_session("build samples of simulated worlds")
    try:
        for number, text in enumerate(configs, start=1):
            config = Config.model_validate_json(text)
            print(f"[{number}/{len(configs)}] building {config.name}", file=sys.stderr)
            Builder(spark, config, refit=False).build(days_of(config.samples.days))
    finally:
        spark.stop()
