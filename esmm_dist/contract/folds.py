"""Which days are trained on for which days of the test; pure arithmetic of dates."""

from dataclasses import dataclass
from datetime import date, timedelta

from esmm_dist.contract.days import DayRange
from esmm_dist.contract.sections import Config


@dataclass(frozen=True)
class Fold:
    """One model: the days it learns from and the later days it predicts."""

    train_days: tuple[date, ...]
    test_days: tuple[date, ...]

    @property
    def name(self) -> str:
        """Its first test day, as in runs/<name>/checkpoints/2022-05-01."""
        return self.test_days[0].isoformat()


def days_of(days: DayRange) -> tuple[date, ...]:
    """Every day of a range, in order."""
    return tuple(
        days.first + timedelta(days=n) for n in range((days.last - days.first).days + 1)
    )


def folds_of(config: Config) -> tuple[Fold, ...]:
    """One fold (retrain: once), or one a test day that learns from all days before it (daily)."""
    test_days = days_of(config.evaluate.days)
    if config.evaluate.retrain == "once":
        return (Fold(days_of(config.train.days), test_days),)
    first = config.train.days.first
    return tuple(
        Fold(days_of(DayRange(first=first, last=day - timedelta(days=1))), (day,))
        for day in test_days
    )
