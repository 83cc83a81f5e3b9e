"""gate.html: a verdict as a page that opens anywhere, offline. It judges nothing."""

from itertools import groupby

from markupsafe import Markup

from esmm_dist.contract.sections import Config
from esmm_dist.evaluation.charts import difference_chart
from esmm_dist.evaluation.scorecard import Scope
from esmm_dist.gating.verdict import Verdict
from esmm_dist.pages.page import rendered
from esmm_dist.pages.svg import Mark

TITLES = {
    "infrastructure": "Does the bundle score as the trainer did?",
    "quality": "Were the samples as expected?",
    "comparison": "Can it be compared with the model in service?",
    "bound": "Is it good enough by itself?",
    "change": "Is it worse than the model in service?",
    "shift": "Are its scores distributed alike?",
}


def render_verdict(verdict: Verdict, config: Config, scope: Scope | None) -> str:
    """The page as the text of one HTML file without any outside resource.

    Args:
        scope: the candidate's metrics and their differences to the model in service; none, if it
            was judged without.
    """
    order = list(TITLES)
    checks = sorted(verdict.checks, key=lambda check: (order.index(check.kind), check.passed))
    return rendered(
        "esmm_dist.gating", "gate.html.j2", {},
        verdict=verdict, config=config,
        groups=[(TITLES[kind], list(of_kind))
                for kind, of_kind in groupby(checks, key=lambda check: check.kind)],
        chart=Markup(_chart(scope)) if scope and verdict.current else "",
    )


def _chart(scope: Scope) -> str:
    """The differences of AUC, paired."""
    marks = {
        name: Mark(found.value, found.low, found.high, f"{name}: {found.value:+.4f}")
        for name, found in scope.difference.items()
        if "auc" in name and found.value is not None
    }
    return difference_chart("Paired differences, candidate minus current", marks,
                            "candidate minus current")
