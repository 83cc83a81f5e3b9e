"""The verdict of the gate as a document, and what it is good for.

It judges nothing.
"""

from datetime import datetime
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from esmm_dist.contract.days import DayRange
from esmm_dist.contract.errors import InputError
from esmm_dist.contract.gating import Gate
from esmm_dist.storage.address import reason_of

VERDICT = "gate.json"

Kind = Literal["infrastructure", "quality", "comparison", "bound", "change", "shift"]


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Check(_Document):
    """One demand and what was found."""

    kind: Kind
    name: str
    """The metric, the day or the part that it is about."""
    passed: bool
    text: str
    """What was demanded and what was found, as a sentence."""
    value: float | None = None
    low: float | None = None
    high: float | None = None
    """The 95 % interval of the value, where there is one."""
    delong_low: float | None = None
    delong_high: float | None = None
    """Of a change of AUC, the interval by DeLong, beside the one that decides."""


class Verdict(_Document):
    """The content of gate.json."""

    format_version: Literal[1] = 1
    candidate: str
    """The name of its bundle."""
    current: str | None
    """The name of the bundle in service; none, if there was none."""
    days: DayRange
    """The held-out days."""
    num_impressions: int
    declared: Gate
    judged_at: datetime
    accepted: bool
    checks: tuple[Check, ...]
    notes: tuple[str, ...] = ()

    @property
    def broken(self) -> tuple[Check, ...]:
        """The checks that were not passed."""
        return tuple(check for check in self.checks if not check.passed)

    @classmethod
    def read(cls, run_path: Path) -> Self:
        """Reads the verdict on a run.

        Raises:
            InputError: there is none, or it cannot be read.
        """
        path = run_path / VERDICT
        try:
            return cls.model_validate_json(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise InputError(f"{path}: {reason_of(error)}: run esmm_dist.gate first") from None
        except ValidationError:
            raise InputError(f"{path}: no readable verdict: run esmm_dist.gate again") from None

    def demand(self, candidate: str, current: str | None, declared: Gate, source: Path) -> None:
        """Lets a candidate pass that this verdict accepted, in place of what it was compared with.

        Raises:
            InputError: it refused, or it is about something else.
        """
        again = "run esmm_dist.gate again"
        if self.candidate != candidate:
            raise InputError(f"{source}: it is about {self.candidate[:12]}, not the run's bundle "
                             f"{candidate[:12]}: {again}")
        if not self.accepted:
            first, *others = self.broken
            more = f" (and {len(others)} more)" if others else ""
            raise InputError(f"{source}: the gate refused {candidate[:12]}: {first.text}{more}")
        if self.current != current:
            raise InputError(f"{source}: {_short(self.current)} was in service then, now it is "
                             f"{_short(current)}: {again}")
        if self.declared != declared:
            raise InputError(f"{source}: the config's gate has changed since: {again}")


def _short(name: str | None) -> str:
    return name[:12] if name else "nothing"
