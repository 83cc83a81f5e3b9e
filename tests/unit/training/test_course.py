"""What makes two trainings the same course: a checkpoint is resumed only on the one it is of."""

from pathlib import Path
from typing import Any

import pytest

from esmm_dist.contract.config import parse_config
from esmm_dist.contract.folds import folds_of
from esmm_dist.training.course import digest_of_course
from tests.factories.written_samples import small_document

# Of checkpoints written before the keys `expire_days` and `mixed_precision` were there.
OF_OLDER_RUNS = "ffa71090dffb9575581151bcc9da6bd21089801f631eb8fcf5dcb1eb5c6d6e5a"


def digest(**changes: Any) -> str:
    document = small_document(Path("somewhere"))
    for key, value in changes.items():
        section, name = key.split("__")
        document.setdefault(section, {})[name] = value
    config = parse_config(document, "small")
    return digest_of_course(config, folds_of(config)[0])


def test_a_config_without_newer_keys_is_on_the_course_of_older_runs() -> None:
    assert digest() == OF_OLDER_RUNS


@pytest.mark.parametrize("changes", [
    {"train__seed": 2}, {"train__mixed_precision": "bfloat16"}, {"embedding__expire_days": 3},
    {"embedding__admit_after": 2}, {"embedding__exchange": "float16"},
])
def test_what_steps_do_or_rows_keep_is_part_of_the_course(changes: dict[str, Any]) -> None:
    assert digest(**changes) != digest()


@pytest.mark.parametrize("changes", [
    {"train__steps_per_log": 7}, {"train__steps_per_checkpoint": 7},
    {"embedding__parallel": "replicated"}, {"train__warm_first": "from_scratch"},
])
def test_where_rows_lie_and_what_is_written_down_is_not(changes: dict[str, Any]) -> None:
    assert digest(**changes) == digest()
