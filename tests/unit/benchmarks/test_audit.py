"""What the records of both audits hold: every method by tenths over clicks, and beside BASE."""

from datetime import UTC, datetime

import pytest

from benchmarks import audit
from esmm_dist.evaluation.audit import REFERENCES
from esmm_dist.evaluation.audit_document import AS_DECLARED, Audit, Estimate, ScenarioFigures
from esmm_dist.evaluation.saturation import saturated

METHODS = ("esmm", "base", "aman", "dcmt")
SETTINGS = {"ctr": 0.1, "selection": 0.3, "sharing": 0.6, "confounding": 0.0, "num_epochs": 1}
TENTHS = tuple(f"_decile_{tenth}" for tenth in range(1, 11))


def audited(scenario: ScenarioFigures) -> Audit:
    return Audit(name="toy", note="", audited_at=datetime(2026, 1, 1, tzinfo=UTC), commit=None,
                 num_replicates=2, is_simulated=bool(scenario.truth), varied={},
                 scenarios=(scenario,), saturated=saturated((0.1,), (0.1,)))


def scenario_of(figures: dict[str, float], *, truth: dict[str, float]) -> ScenarioFigures:
    """Every figure of every method is its own, so that a table shows which it holds."""
    def estimates(of_one: dict[str, float], more: float) -> dict[str, Estimate]:
        return {name: Estimate(value=value + more, low=value, high=2 + value)
                for name, value in of_one.items()}

    names = (*METHODS, *REFERENCES) if truth else METHODS
    return ScenarioFigures(
        name=AS_DECLARED, settings=SETTINGS if truth else {}, num_impressions=3, num_clicks=2,
        num_conversions=1, truth=estimates(truth, 0),
        methods={method: estimates(figures, place) for place, method in enumerate(names)})


def lines_below(page: str, heading: str) -> dict[str, str]:
    """The first table below a line, by method."""
    table = page.partition(heading)[2].partition("| --- |")[2].partition("\n\n")[0]
    cells = [line.split(" | ") for line in table.splitlines() if line.startswith("| ")]
    return {next(cell.strip("| ") for cell in line if cell.strip("| ") in (*METHODS, *REFERENCES)):
            " | ".join(line) for line in cells}


@pytest.fixture(autouse=True)
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "write_figure", lambda name, svg: f"![]({name})\n")


def test_simulated_worlds_by_tenths_over_clicks_and_beside_base() -> None:
    figures = {f"true_cvr_pcoc{space}{tenth}": 10.0 * place + 100 * ("click" in space)
               for space in ("", "_click", "_unclicked")
               for place, tenth in enumerate(("", *TENTHS))}
    figures |= dict.fromkeys(("true_cvr_given_pcoc", "cvr_to_true_ctcvr", "cvr_to_clicked_rate",
                              "true_cvr_auc", "cvr_to_base", "cvr_to_base_unclicked"), 0.7)
    figures |= {"cvr_to_base_decile_1": 0.5, "true_cvr_auc_less_base": 0.25}
    truth = dict.fromkeys(("given_to_do", "clicked_rate_to_true_cvr",
                           "mean_of_ratios_to_ratio_of_means"), 1.0)
    page = audit.record_of_simulated(audited(scenario_of(figures, truth=truth)))
    everywhere = lines_below(page, "By tenths of pCTR, over all impressions")
    clicked = lines_below(page, "By tenths of pCTR, over the clicked impressions")
    assert set(everywhere) == set(clicked) == {"esmm", "base", "dcmt", "clicked_rate"}
    assert "| 10 (10 to 12) |" in everywhere["esmm"] and "| 110 (110 to 112) |" in clicked["esmm"]
    beside = lines_below(page, "## Beside BASE, draw by draw")
    assert set(beside) == {"esmm", "aman", "dcmt"}
    assert "0.5 (0.5 to 2.5)" in beside["esmm"]
    assert "+3.2500 (+0.2500 to +2.2500)" in beside["dcmt"]


def test_real_logs_by_tenths_over_clicks_and_beside_base() -> None:
    figures = {f"{name}{tenth}": 10.0 * place
               for name in ("cvr_pcoc_click", "implied_rate_unclicked", "implied_rate_click",
                            "cvr_to_base_unclicked", "cvr_to_base_click")
               for place, tenth in enumerate(("", *TENTHS), start=1)}
    page = audit.record_of_real(audited(scenario_of(figures, truth={})))
    clicked = lines_below(page, "Predicted / seen conversions of clicks, by tenths of pCTR")
    implied = lines_below(page, "Conversion rate implied of un-clicked impressions, by the same")
    assert set(clicked) == set(implied) == set(METHODS)
    assert "20 (20 to 22)" in clicked["esmm"] and "23 (20 to 22)" in clicked["dcmt"]
    assert set(lines_below(page, "Mean pCVR / that of BASE")) == set(METHODS) - {"base"}
