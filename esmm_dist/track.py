"""Shows a trained run in MLflow: its resolved config, its curves, its metrics, its bundle.

    python -m esmm_dist.track
    python -m esmm_dist.track --run kuairand

Where it goes is said by the section `tracking`. What is there of the run is told, so that it may be
run after training, after evaluation and after publishing; what MLflow knows already is not told
again. MLflow is no part of the locked environment: pip install esmm-dist[tracking].
"""

import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from esmm_dist.bundling import scorecard_of
from esmm_dist.contract.bundle import INDEX, METRICS
from esmm_dist.contract.command_line import config_parser, run_command
from esmm_dist.contract.config import flat, load_config
from esmm_dist.contract.errors import InputError
from esmm_dist.contract.telling import tell
from esmm_dist.contract.tracking import Tracking
from esmm_dist.gating.verdict import VERDICT, Verdict
from esmm_dist.serving.bundle import Bundle
from esmm_dist.serving.store import store_of
from esmm_dist.storage.address import is_local
from esmm_dist.training.curve import read_curve
from esmm_dist.training.trained_run import TrainedRun, add_run_flag, config_of_run, run_asked_for

# By which a run is found again: a run that is trained anew is another one.
KEY = "esmm_dist.run"
NO_SERIES = ("step", "num_samples")
# What one request to a server may hold.
PARAMS_A_REQUEST, METRICS_A_REQUEST = 100, 1000
# A server that is away is told of in a minute, not in the ten that MLflow would try for.
RETRIES = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3", "MLFLOW_HTTP_REQUEST_TIMEOUT": "20"}


class Point(NamedTuple):
    """A value of one of MLflow's metrics."""

    key: str
    value: float
    step: int


def main(argv: Sequence[str]) -> None:
    """Parses the flags and tells MLflow what there is of the run."""
    parser = config_parser(__doc__)
    add_run_flag(parser)
    arguments = parser.parse_args(argv)
    named = load_config(arguments.config, arguments.overrides)  # of the same name every day
    section = named.tracking or Tracking()
    with mlflow_errors_told(section):
        client = client_of(section)
        print(track(client, run_asked_for(arguments), section.experiment or named.name))


@contextmanager
def mlflow_errors_told(section: Tracking) -> Iterator[None]:
    """What MLflow refuses, or that there is none, becomes an InputError."""
    try:
        from mlflow.exceptions import MlflowException
    except ModuleNotFoundError as error:
        raise InputError(
            f"tracking: there is no {error.name}: pip install esmm-dist[tracking]"
        ) from None
    try:
        yield
    except MlflowException as error:
        reason = " ".join(str(error).split())
        raise InputError(f"tracking.uri = {section.uri}: MLflow says: {reason}") from None


def client_of(section: Tracking) -> Any:
    """MLflow's client of the place that a config names."""
    from mlflow.tracking import MlflowClient

    for key, value in RETRIES.items():
        os.environ.setdefault(key, value)
    return MlflowClient(tracking_uri=section.uri)


def track(client: Any, run: TrainedRun, experiment: str) -> str:
    """Tells MLflow what there is of a run and what it does not know yet.

    Returns:
        The id that MLflow gave the run.

    Raises:
        InputError: the run's metrics or its verdict cannot be read.
    """
    from mlflow.entities import Metric, Param

    run_id = _run_id(client, run, experiment)
    known = client.get_run(run_id).data
    params = {key: str(value) for key, value in
              flat(config_of_run(run.path).model_dump(mode="json")).items()}
    new = [Param(key, value) for key, value in params.items() if key not in known.params]
    for some in _batches(new, PARAMS_A_REQUEST):
        client.log_batch(run_id, params=some)
    points = [*_curves(run), *_metrics(run)]
    seen = {key: {(one.step, one.value) for one in client.get_metric_history(run_id, key)}
            for key in {point.key for point in points} & known.metrics.keys()}
    unknown = [point for point in points
               if (point.step, point.value) not in seen.get(point.key, ())]
    now_ms = int(time.time() * 1000)
    for some in _batches(unknown, METRICS_A_REQUEST):
        client.log_batch(run_id, metrics=[Metric(key, value, now_ms, step)
                                          for key, value, step in some])
    for key, value in _tags(run).items():
        client.set_tag(run_id, key, value)
    client.set_terminated(run_id)
    tell("tracked", f"{experiment}: {len(new):,} params and {len(unknown):,} values of metrics are "
                    "new", mlflow_run=run_id)
    return run_id


def _run_id(client: Any, run: TrainedRun, experiment: str) -> str:
    """Of the run as MLflow knows it, or of a new one."""
    found = client.get_experiment_by_name(experiment)
    experiment_id = found.experiment_id if found else client.create_experiment(experiment)
    key = f"{run.path.name}@{run.folds[-1].digest[:16]}"
    runs = client.search_runs([experiment_id], filter_string=f"tags.`{KEY}` = '{key}'")
    if runs:
        return str(runs[0].info.run_id)
    made = client.create_run(experiment_id, run_name=run.path.name, tags={KEY: key})
    return str(made.info.run_id)


def _curves(run: TrainedRun) -> Iterator[Point]:
    """Losses and speeds of each fold by step, as train/FOLD/NAME."""
    for trained in run.folds:
        path = run.path / "curves" / f"{trained.fold.name}.jsonl"
        for record in read_curve(path) if path.exists() else ():
            for name, value in record.items():
                if name not in NO_SERIES:
                    yield Point(f"train/{trained.fold.name}/{name}", float(value), record["step"])


def _metrics(run: TrainedRun) -> Iterator[Point]:
    """What the evaluation found, by names that carry their space, with the ends of intervals."""
    if not (run.path / METRICS).exists():
        return
    step = run.folds[-1].index.step
    for name, found in scorecard_of(run).pooled.model.items():
        ends = {name: found.value, f"{name}.low": found.low, f"{name}.high": found.high}
        for key, value in ends.items():
            if value is not None:
                yield Point(key, value, step)


def _tags(run: TrainedRun) -> dict[str, str]:
    """Where the run lies, what the gate said of it, and its bundle."""
    tags = {"esmm_dist.path": _address(run.path),
            "esmm_dist.manifest": str(run.manifest.number)}
    if (run.path / VERDICT).exists():
        accepted = Verdict.read(run.path).accepted
        tags["esmm_dist.gate"] = "accepted" if accepted else "refused"
    bundle = _bundle(run)
    if bundle is not None:
        tags |= {"esmm_dist.bundle": bundle.name, "esmm_dist.bundle_path": _address(bundle.path)}
    return tags


def _bundle(run: TrainedRun) -> Bundle | None:
    """The latest one of the run; none before it was published."""
    store = store_of(run.config)
    of_run = [bundle for bundle in (Bundle.glance(store.path / name) for name in store.names())
              if (bundle.index.run, bundle.index.manifest) == (run.path.name, run.manifest.number)]
    return max(of_run, key=lambda bundle: (bundle.path / INDEX).stat().st_mtime, default=None)


def _address(path: Path) -> str:
    return str(path.resolve() if is_local(path) else path)


def _batches(values: Sequence[Any], size: int) -> Iterator[list[Any]]:
    rest = iter(values)
    while some := list(islice(rest, size)):
        yield some


if __name__ == "__main__":
    sys.exit(run_command(main, sys.argv[1:]))
