"""A verdict lets pass what it accepted, in place of what it was compared with, and nothing else."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from esmm_dist.contract.config import parse_config
from esmm_dist.contract.days import DayRange
from esmm_dist.contract.errors import InputError
from esmm_dist.contract.gating import Gate, MetricName
from esmm_dist.evaluation.metrics import METRICS
from esmm_dist.evaluation.tasks import Task, metric_name
from esmm_dist.gating.page import render_verdict
from esmm_dist.gating.verdict import Check, Verdict
from tests.factories.written_samples import small_document

ONE, TWO = "1" * 64, "2" * 64
DAYS = DayRange.model_validate({"first": "2024-01-03", "last": "2024-01-04"})


def verdict(*, accepted: bool = True, current: str | None = TWO) -> Verdict:
    checks = [Check(kind="bound", name="ctr_auc", passed=True, text="ctr_auc is <.75>"),
              Check(kind="change", name="ctr_ne", passed=accepted, text="ctr_ne changes by +.1"),
              Check(kind="shift", name="ctr", passed=accepted, text="the PSI of p_ctr is 3")]
    return Verdict(
        candidate=ONE, current=current, days=DAYS, num_impressions=1000, declared=Gate(),
        judged_at=datetime(2024, 1, 5, tzinfo=UTC), accepted=accepted, checks=tuple(checks),
        notes=("A note.",),
    )


def refusal(found: Verdict, **changed: Any) -> str:
    asked: dict[str, Any] = {"candidate": ONE, "current": TWO, "declared": Gate()} | changed
    with pytest.raises(InputError) as caught:
        found.demand(**asked, source=Path("gate.json"))
    return str(caught.value)


def test_what_was_accepted_passes() -> None:
    verdict().demand(ONE, TWO, Gate(), Path("gate.json"))
    verdict(current=None).demand(ONE, None, Gate(), Path("gate.json"))


def test_what_was_refused_does_not_and_the_first_reason_is_named() -> None:
    assert "gate refused 111111111111: ctr_ne changes by +.1 (and 1 more)" in refusal(
        verdict(accepted=False)
    )


def test_a_verdict_on_anything_else_is_none() -> None:
    assert "it is about 111111111111" in refusal(verdict(), candidate=TWO)
    assert "222222222222 was in service then, now it is 333333333333" in refusal(
        verdict(), current="3" * 64
    )
    assert "now it is nothing" in refusal(verdict(), current=None)
    assert "gate has changed since" in refusal(verdict(), declared=Gate(max_psi=9))


def test_a_run_that_was_not_judged_has_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="run esmm_dist.gate first"):
        Verdict.read(tmp_path)
    (tmp_path / "gate.json").write_text("{", encoding="utf-8")
    with pytest.raises(InputError, match="no readable verdict"):
        Verdict.read(tmp_path)
    (tmp_path / "gate.json").write_text(verdict().model_dump_json(), encoding="utf-8")
    assert Verdict.read(tmp_path) == verdict()


def test_the_page_tells_what_was_decided_and_why(tmp_path: Path) -> None:
    config = parse_config(small_document(tmp_path), "small")
    html = render_verdict(verdict(accepted=False), config, None)
    assert "small: refused" in html and "2 of 3 checks were not passed" in html
    assert "ctr_auc is &lt;.75&gt;" in html and "A note." in html
    assert "accepted" in render_verdict(verdict(), config, None)
    assert "https:" not in html


def test_metrics_are_declared_by_the_names_that_evaluation_gives_them() -> None:
    names = set(MetricName.__args__)  # type: ignore[attr-defined]
    assert names == {metric_name(task, metric) for task in Task for metric in METRICS}


@pytest.mark.parametrize(("gate", "reason"), [
    ({"bounds": [{"metric": "ctr_auc"}]}, "bounds nothing"),
    ({"bounds": [{"metric": "ctr_auc", "min": 1, "max": 0}]}, "max 0.0 below 1.0"),
    ({"changes": [{"metric": "ctr_pcoc"}]}, "ctr_pcoc has no better end"),
    ({"changes": [{"metric": "auc"}]}, "gate.changes.0.metric"),
    ({"max_ps": 1}, "did you mean max_psi"),
])
def test_a_gate_that_demands_nothing_sensible_is_refused(
    tmp_path: Path, gate: dict[str, Any], reason: str
) -> None:
    with pytest.raises(InputError, match=reason):
        parse_config(small_document(tmp_path) | {"gate": gate}, "small")
