"""Writes where an experiment stands for Prometheus: fresh samples, the model in service, the gate.

    python -m esmm_dist.watch
    python -m esmm_dist.watch --for-day 2022-05-03

Leaves runs/<name>.prom, or what retraining.metrics_file names, in the text format that the node
exporter's textfile collector reads; the file appears whole. What does not exist yet, or is damaged,
has no line: alert on the age of what must be fresh, and on its absence.
"""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Gauge, write_to_textfile

from esmm_dist.contract.command_line import config_from, config_parser, run_command
from esmm_dist.contract.config import load_config
from esmm_dist.contract.durations import durations_of
from esmm_dist.contract.errors import InputError
from esmm_dist.contract.manifest import MANIFESTS, Manifest, read_manifest
from esmm_dist.contract.sections import Config
from esmm_dist.gating.verdict import VERDICT, Verdict
from esmm_dist.samples.days import Calendar
from esmm_dist.serving.difference import metrics_of
from esmm_dist.serving.store import BundleStore, store_of
from esmm_dist.storage.address import is_elsewhere, path_of

PREFIX = "esmm_dist"

EndOfDay = Callable[[date], datetime]


class Reading(NamedTuple):
    """One line: a gauge's name and help, its labels but the experiment, and its value."""

    name: str
    help: str
    labels: dict[str, str]
    value: float


def main(argv: Sequence[str]) -> None:
    """Reads what there is and writes the file."""
    arguments = config_parser(__doc__).parse_args(argv)
    config = config_from(arguments)
    experiment = load_config(arguments.config, arguments.overrides).name  # the same every day
    place = config.retraining.metrics_file if config.retraining else None
    place = place or f"{config.runs_path}/{experiment}.prom"
    if is_elsewhere(place):
        raise InputError(
            f"{place}: a collector reads files of its own machine: give retraining.metrics_file a "
            "local path"
        )
    path = path_of(place)
    path.parent.mkdir(parents=True, exist_ok=True)
    found, damage = readings(config)
    write_readings(path, experiment, found)
    print(path)
    if damage:
        raise damage[0]


def readings(config: Config) -> tuple[list[Reading], list[InputError]]:
    """All that is to be known of an experiment, of the parts that exist; and why of a damaged one
    nothing is: it has no lines, rather than all keep those that they had before."""
    end_of = Calendar.of(config.logs.day_timezone).end
    found: list[Reading] = []
    damage: list[InputError] = []
    for part in (_samples(config, end_of), _of_service(store_of(config), end_of),
                 _verdict(config), _durations(config)):
        try:
            found += list(part)
        except InputError as error:
            damage.append(error)
    return found, damage


def _samples(config: Config, end_of: EndOfDay) -> Iterator[Reading]:
    if (path_of(config.samples.path) / MANIFESTS).is_dir():  # else nothing has been built
        manifest = read_manifest(config.samples.path)
        yield from _of_samples(manifest, end_of(manifest.days[-1].day))


def _verdict(config: Config) -> Iterator[Reading]:
    verdict = path_of(config.runs_path) / config.name / VERDICT
    if verdict.exists():
        yield from _of_verdict(Verdict.read(verdict.parent))


def _durations(config: Config) -> Iterator[Reading]:
    for command, seconds in durations_of(config):
        yield Reading("command_duration_seconds", "Of the last time that a command of the run went "
                      "well under the scheduler.", {"command": command}, seconds)


def write_readings(path: Path, experiment: str, found: Iterable[Reading]) -> None:
    """The file that a collector reads, replaced whole."""
    registry = CollectorRegistry()
    gauges: dict[str, Gauge] = {}
    for reading in found:
        if reading.name not in gauges:
            gauges[reading.name] = Gauge(
                f"{PREFIX}_{reading.name}", reading.help, ["experiment", *reading.labels],
                registry=registry,
            )
        gauges[reading.name].labels(experiment, *reading.labels.values()).set(reading.value)
    write_to_textfile(str(path), registry)


def _of_samples(manifest: Manifest, end: datetime) -> Iterator[Reading]:
    last = manifest.days[-1]
    yield Reading("samples_until_timestamp_seconds", "End of the last day that is built.", {},
                  end.timestamp())
    yield Reading("samples_built_timestamp_seconds", "When the last day was built.", {},
                  last.built_at.timestamp())
    for kind, num_rows in (("impressions", last.num_rows), ("clicks", last.num_clicks),
                           ("conversions", last.num_conversions),
                           ("immature", last.num_immature)):
        yield Reading("samples_of_last_day", "Samples of the last day that is built.",
                      {"kind": kind}, num_rows)
    for rate, part, whole in (("ctr", last.num_clicks, last.num_rows),
                              ("cvr", last.num_conversions, last.num_clicks),
                              ("ctcvr", last.num_conversions, last.num_rows)):
        if whole:
            yield Reading("rate_of_last_day", "Rates of the last day that is built, over samples.",
                          {"rate": rate}, part / whole)


def _of_service(store: BundleStore, end_of: EndOfDay) -> Iterator[Reading]:
    current, aliases = store.current(), store.aliases.read()
    if current is None or aliases is None:
        return
    yield Reading("model_learned_until_timestamp_seconds",
                  "End of the last day that the model in service has learned from.", {},
                  end_of(current.index.train_days.last).timestamp())
    yield Reading("model_switched_timestamp_seconds", "When an alias was last switched.", {},
                  aliases.switched_at.timestamp())
    for metric, value in metrics_of(current).items():
        if value is not None:
            yield Reading("model_metric", "Of the model in service, as its evaluation found it.",
                          {"metric": metric}, value)


def _of_verdict(verdict: Verdict) -> Iterator[Reading]:
    yield Reading("gate_accepted", "1 if the gate let the run's model pass, 0 if not.", {},
                  float(verdict.accepted))
    yield Reading("gate_refusing_checks", "Checks that refuse the run's model.", {},
                  len(verdict.broken))
    yield Reading("gate_judged_timestamp_seconds", "When the gate judged the run.", {},
                  verdict.judged_at.timestamp())


if __name__ == "__main__":
    sys.exit(run_command(main, sys.argv[1:]))
