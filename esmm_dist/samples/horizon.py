"""The instant as of which the logs are looked at; no Spark.

What lies later is not seen: `logs.visible` hides it row by row.
"""

from datetime import datetime

from esmm_dist.contract.errors import InputError
from esmm_dist.contract.logs import TableSource
from esmm_dist.contract.manifest import EncodingsReference, Lesson
from esmm_dist.contract.sections import Config
from esmm_dist.samples.days import Calendar

EVENT_TIME = "event_time"
LOGS = ("impressions", "clicks", "conversions")


def refuse_the_future(config: Config, now: datetime) -> None:
    """Nobody has seen what will be logged until then, and labels would pass for mature.

    Raises:
        InputError: samples.as_of lies after now; names both.
    """
    as_of = config.samples.as_of
    if as_of is not None and as_of > now:
        raise InputError(
            f"samples.as_of = {as_of.isoformat()}: it lies in the future (it is "
            f"{now.isoformat()}): give an instant that has passed"
        )


def lesson_in_force(reference: EncodingsReference, config: Config) -> Lesson | None:
    """What builds as of samples.as_of go by: what had been learned then, without what was appended
    later, since ids must not tell which values would become frequent.

    What was first learned later, from impressions that all were visible then, is the same as if it
    had been learned then. A snapshot's rows need no look: one that is not known at an impression
    teaches nothing about it.

    Raises:
        InputError: nothing had been learned; names samples.as_of and when it was.
    """
    as_of, lesson = config.samples.as_of, reference.lesson_at(config.samples.as_of)
    # A directory of before lessons were noted knows its latest alone.
    learned, fit_days = (lesson or reference).learned_as_of, (lesson or reference).fit_days
    if as_of is None or learned is None or fit_days is None or learned <= as_of:
        return lesson
    end = Calendar.of(config.logs.day_timezone).end(fit_days.last)
    if as_of < end or config.logs.impressions.ingest_time is not None:
        raise InputError(
            f"samples.as_of = {as_of.isoformat()}: the ids of {config.samples.path} were learned "
            f"as of {learned.isoformat()}, from impressions that need not have been known then: "
            "give another samples.path, or --refit to start anew with the days asked for"
        )
    return lesson


def has_grown_since(reference: EncodingsReference, config: Config) -> bool:
    """Whether keys were appended as of a later instant: then none can be as of samples.as_of, since
    keys come last or not at all."""
    lesson = reference.lesson_at(config.samples.as_of)
    return lesson is not None and lesson != reference.lessons[-1]


def known_by(config: Config) -> dict[str, str]:
    """By log the column that tells when a row became known; empty if nothing depends on it."""
    if config.samples.as_of is None:
        return {}
    tables: dict[str, TableSource] = {log: getattr(config.logs, log) for log in LOGS}
    tables |= {f"snapshots.{snapshot.name}": snapshot for snapshot in config.logs.snapshots}
    return {name: table.ingest_time or EVENT_TIME for name, table in tables.items()}


def text_of_horizon(config: Config) -> str:
    """How a build says what it may see, to be added to what it does; empty if that is all."""
    as_of, columns = config.samples.as_of, known_by(config)
    if as_of is None:
        return ""
    told = ", ".join(f"{log} by {column}" for log, column in columns.items())
    return f" as of {as_of.isoformat()} ({told})"
