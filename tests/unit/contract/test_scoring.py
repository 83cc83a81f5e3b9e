"""What the section `score` refuses, and manifests of scores that cannot be read."""

import pytest
from pydantic import ValidationError

from esmm_dist.contract.errors import InputError
from esmm_dist.contract.scores import ScoresManifest
from esmm_dist.contract.scoring import Score


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        (("user_id", "P_CTR"), "the scores have a column 'P_CTR' of their own"),
        (("day",), "the scores have a column 'day' of their own"),
        (("user_id", "User_Id"), "the column 'User_Id' is named twice"),
        ((), "at least 1 item"),
    ],
)
def test_keys_that_the_scores_cannot_keep_are_refused(keys: tuple[str, ...], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        Score(keys=keys)


@pytest.mark.parametrize("text", ['{"number": 1}', '{"format_version": 2}'])
def test_a_manifest_of_something_else_is_refused_by_its_file(text: str) -> None:
    with pytest.raises(InputError, match="^scores/_manifests/1.json: no readable manifest of sco"):
        ScoresManifest.parse(text, "scores/_manifests/1.json")
