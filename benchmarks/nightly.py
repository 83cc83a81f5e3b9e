"""Four nights of the KuaiRand example under a real Airflow: three good ones, and a refused one.

    make airflow-demo

Makes data/nightly_demo/ anew: the example's logs, of which the last day's labels are shuffled over
its impressions, as a broken join upstream would leave them; an Airflow with its own database; and
what the nights leave. Its scheduler runs dags/esmm_retraining.py over 2 to 5 May 2022. Then says
what became of each night and which model is in service, and fails unless the first three were
published, the fourth was refused, and each, though all were due at once, waited for the one before.
"""

import argparse
import math
import shutil
import signal
import sys
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

from benchmarks.parts.airflow import Airflow, States, run_nights
from benchmarks.parts.night_logs import CONFIG, ROOT, write_config, write_logs
from esmm_dist.contract.bundle import CURRENT
from esmm_dist.contract.config import load_config
from esmm_dist.contract.sections import Config
from esmm_dist.gating.verdict import VERDICT, Verdict
from esmm_dist.serving.bundle import Bundle
from esmm_dist.serving.difference import metrics_of
from esmm_dist.serving.store import BundleStore


def tell(
    states: States, nights: Sequence[date], poisoned: date | None, config: Config
) -> bool:
    """Shows what became of each night and what serves now; whether that is as it should be."""
    store = BundleStore(str(config.publish.path))
    of_run = {Bundle.glance(store.path / name).index.run: name for name in store.names()}
    serving, last_good = store.aliases.of_alias().get(CURRENT), None
    is_right = True
    print(f"\n{'night':12}{'the run':10}{'model':14}{'ctr_auc':>9}{'ctcvr_auc':>11}  the gate")
    for night in nights:
        name = f"{config.name}-{night}"
        bundle, verdict = of_run.get(name), _verdict(Path(config.runs_path) / name)
        metrics = metrics_of(Bundle.glance(store.path / bundle)) if bundle else {}
        figures = [f"{metrics.get(metric) or math.nan:.4f}" for metric in ("ctr_auc", "ctcvr_auc")]
        said = "has not judged" if verdict is None else "accepted" if verdict.accepted else \
            "refused: " + "; ".join(check.text for check in verdict.broken)
        print(f"{night!s:12}{states[night]['']:10}{(bundle or '-')[:12]:14}{figures[0]:>9}"
              f"{figures[1]:>11}  {said}")
        if night == poisoned:
            is_right &= verdict is not None and not verdict.accepted
            is_right &= states[night]["gate"] == "failed"
        else:
            is_right &= states[night][""] == "success"
            last_good = bundle
    print(f"in service: {(serving or 'nothing')[:12]}")
    return is_right and serving is not None and serving == last_good


def _verdict(run_path: Path) -> Verdict | None:
    return Verdict.read(run_path) if (run_path / VERDICT).exists() else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--folder", type=Path, default=ROOT / "data" / "nightly_demo")
    parser.add_argument("--nights", type=int, default=4, choices=range(1, 5),
                        help="the last of four is the poisoned one")
    parser.add_argument("--minutes", type=float, default=60, help="then it gives up")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    folder: Path = arguments.folder.resolve()
    first = load_config(CONFIG).samples.days.last
    nights = [first + timedelta(days=n) for n in range(arguments.nights)]
    poisoned = nights[3] if len(nights) == 4 else None
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "airflow").mkdir(parents=True)
    days = [first + timedelta(days=n) for n in range(-8, len(nights))]
    write_logs(folder / "logs", days, poisoned)
    path = write_config(folder, nights[-1])
    airflow = Airflow(folder / "airflow", path)
    airflow.run("db", "migrate")
    states = run_nights(airflow, nights, timedelta(minutes=arguments.minutes))
    if not tell(states, nights, poisoned, load_config(path)):
        sys.exit(f"that is not how it should end: see the logs below {airflow.folder}/logs")
    if overlapping := airflow.overlapping():
        sys.exit(f"{' and '.join(overlapping)} were due at once and ran at once")


if __name__ == "__main__":
    main()
