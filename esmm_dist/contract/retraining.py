"""The config's section on the schedule: when the experiment runs again, and by which commands.

Values only, for whatever runs them: dags/esmm_retraining.py does under Airflow.
"""

from datetime import date
from typing import Annotated

from pydantic import Field

from esmm_dist.contract.features import Section

Hours = Annotated[float, Field(gt=0, le=24 * 7)]


class Retraining(Section):
    """One run a day, for the day that has just ended in logs.day_timezone."""

    cron: str = "0 3 * * *"
    """When the run of a day begins, in logs.day_timezone, on the day after. samples.as_of should be
    that instant too, on the day after samples.days.last."""
    last_day: date | None = None
    """After which no day is run; none: it goes on."""
    spark_submit: str = "spark-submit"
    """How jobs are started, for example `spark-submit --master yarn --deploy-mode client`."""
    horovodrun: str = "horovodrun -np 2"
    """How the training is started, for example `horovodrun -np 16 -H one:8,two:8`."""
    hours_to_wait: Hours = 6.0
    """For the day's logs; then the run fails."""
    hours_per_task: Hours = 6.0
    """A task that takes longer is stopped, and tried again."""
    retries: Annotated[int, Field(ge=0, le=100)] = 3
    """Of a task that failed, unless its input is at fault or the gate refused: these stay so."""
    retry_minutes: Annotated[float, Field(ge=0, le=24 * 60)] = 5.0
    """Before the first retry; twice as long before each further one, up to an hour. Also from one
    look for the day's logs to the next."""
    on_failure: str | None = None
    """A shell command that tells somebody; it finds DAY, TASK and LOG in its environment."""
    metrics_file: str | None = None
    """Where esmm_dist.watch writes what Prometheus is to know; none: runs_path/<name>.prom."""
