"""Which worlds and methods an audit looks at."""

from pathlib import Path

import pytest

from esmm_dist.audited import scenarios_of
from esmm_dist.contract.config import load_config
from esmm_dist.evaluation.audit_document import AS_DECLARED

AUDIT = "conf/audit.yaml"
SETTINGS = ("audit.methods=[dcmt,division]", "audit.num_replicates=2", "audit.vary.ctr=[0.3]",
            "audit.vary.num_epochs=[1,3]", "audit.vary.selection=[]", "audit.vary.sharing=[]",
            "audit.vary.confounding=[]")


@pytest.mark.parametrize(("where_varied", "methods"), [
    ("null", ("dcmt", "division")), ("[]", ()), ("[nise]", ("nise",))])
def test_the_three_are_trained_everywhere_and_others_where_they_are_asked_for(
    where_varied: str, methods: tuple[str, ...]
) -> None:
    config = load_config(AUDIT, (*SETTINGS, f"audit.methods_where_varied={where_varied}"))
    (declared, clicked_more, longer), varied = scenarios_of(config, Path("to"))
    assert declared.methods == ("esmm", "base", "aman", "dcmt", "division")
    assert clicked_more.methods == ("esmm", "base", "aman", *methods)
    assert longer.methods == ("esmm", "base")
    assert varied == {"ctr": (AS_DECLARED, "ctr=0.3"),
                      "num_epochs": (AS_DECLARED, "num_epochs=3")}, "1 epoch is as declared"


def test_longer_trainings_see_the_worlds_as_declared_and_keep_runs_of_their_own() -> None:
    (declared, clicked_more, longer), _ = scenarios_of(load_config(AUDIT, SETTINGS), Path("to"))
    assert declared.has_own_rows and clicked_more.has_own_rows and not longer.has_own_rows
    for first, other in zip(declared.replicates, longer.replicates, strict=True):
        assert other.train.num_epochs == 3
        assert (other.samples, other.simulate, other.logs) == (
            first.samples, first.simulate, first.logs)
    folders = [of_one.runs_path for s in (declared, clicked_more, longer)
               for of_one in s.replicates]
    assert len(set(folders)) == 6
