"""Which days are due: not built yet, or built while their labels could still change; no Spark."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import groupby

from esmm_dist.contract.errors import InputError
from esmm_dist.contract.manifest import Day
from esmm_dist.contract.sections import Config
from esmm_dist.samples.days import Calendar
from esmm_dist.samples.schedule import click_window, conversion_window, lateness, text_of


@dataclass(frozen=True)
class Verdict:
    """Whether a day is due, and why."""

    day: date
    is_due: bool
    reason: str


def final_from(day: date, config: Config) -> datetime:
    """The instant as of which the labels of all impressions of a day are mature."""
    end = Calendar.of(config.logs.day_timezone).end(day)
    return end + click_window(config) + conversion_window(config) + lateness(config)


def refuse_open_windows(days: Sequence[date], config: Config, now: datetime) -> None:
    """Without samples.as_of logs pass for complete, which they cannot be while windows are open.

    Raises:
        InputError: names the days, the instant from which their labels are final, and what to do.
    """
    is_open = [day for day in days if final_from(day, config) > now]
    if config.samples.as_of is None and is_open:
        raise InputError(
            f"{text_of(is_open)}: labels are not final before "
            f"{final_from(max(is_open), config).isoformat()}, and without samples.as_of they would "
            f"pass for it: give samples.as_of={now.isoformat()}, or build later"
        )


def fake_negative_after_s(config: Config) -> int | None:
    """Seconds after its click from which a conversion is late; None where labels are no stream."""
    samples = config.samples
    if samples.label_stream != "fake_negative":
        return None
    return round(samples.fake_negative_after_hours * 3_600)


def verdicts(
    days: Iterable[date], built: Mapping[date, Day], config: Config, now: datetime
) -> list[Verdict]:
    """What is to be done with each of the days, in order, as of samples.as_of.

    Args:
        built: the days that there are.
    """
    return [Verdict(day, *_judged(day, built.get(day), config, now)) for day in sorted(set(days))]


def _judged(day: date, there: Day | None, config: Config, now: datetime) -> tuple[bool, str]:
    as_of, final = config.samples.as_of, final_from(day, config)
    if as_of is None and now < final:
        return False, f"windows are open until {final.isoformat()}, and samples.as_of is not given"
    if as_of is not None and as_of < Calendar.of(config.logs.day_timezone).end(day):
        return False, f"not over as of {as_of.isoformat()}"
    if there is None:
        return True, "not built yet"
    seen = _seen_as_of(there, final)
    if seen is None:
        return False, "final, built from complete logs"
    told = f"built as of {seen.isoformat()}"
    if seen >= final:
        return False, f"final, {told}"
    if as_of is not None and as_of <= seen:
        return False, f"immature, but {told} already"
    return True, f"immature, {told}"


def _seen_as_of(there: Day, final: datetime) -> datetime | None:
    """The instant as of which a day saw its logs; None where they were complete, which they were
    not if windows were open when it was built."""
    if there.as_of is None and there.built_at < final:
        return there.built_at
    return there.as_of


def refuse_riper(built: Iterable[Day], days: Collection[date], config: Config) -> None:
    """Refuses to let days that were built later go for what was known before.

    Args:
        built: days that there are.
        days: those that are to take their places.

    Raises:
        InputError: names the first one, and both instants.
    """
    as_of = config.samples.as_of
    for day in built:
        final = final_from(day.day, config)
        if as_of is None or day.day not in days or as_of >= final:
            continue
        seen = _seen_as_of(day, final)
        if seen is None or seen > as_of:
            then = "from complete logs" if seen is None else f"as of {seen.isoformat()}"
            raise InputError(
                f"{config.samples.path}: {day.day} was built {then}, its labels are riper than "
                f"those as of samples.as_of = {as_of.isoformat()}: give a later one, another "
                "samples.path, or --go-back if riper days are to be replaced"
            )


def text_of_verdicts(found: Sequence[Verdict]) -> str:
    """A line for days next to each other of which the same is to be said."""
    lines = []
    for (is_due, reason), same in groupby(found, lambda one: (one.is_due, one.reason)):
        days = text_of([one.day for one in same])
        lines.append(f"{days}: {reason}: {'to be built' if is_due else 'left as it is'}")
    return "\n".join(lines)
