"""A training begins where a published model ended, and a retry where the first try did."""

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from esmm_dist.contract.bundle import CURRENT
from esmm_dist.contract.days import day_number
from esmm_dist.contract.encodings import Encodings
from esmm_dist.contract.errors import InputError
from esmm_dist.training.checkpoint import latest_checkpoint
from tests.factories.written_samples import append_keys
from tests.integration.trained_line import STEPS_OF_DAY, Line, Trained, is_close

STILL = {"name": "sgd", "learning_rate": 1e-12}


@pytest.fixture(scope="module")
def first_day(tmp_path_factory: pytest.TempPathFactory) -> tuple[Line, Trained, str]:
    """A line whose first day is in service."""
    line = Line(tmp_path_factory.mktemp("warm"))
    trained = line.train(1)
    return line, trained, line.publish()


def test_it_begins_with_the_weights_of_the_bundle(first_day: tuple[Line, Trained, str]) -> None:
    line, before, name = first_day
    cold = line.train(2, towers=STILL, tables=STILL)
    warm = line.train(2, towers=STILL, tables=STILL, warm_start="current", warm_optimizer="reset")
    assert warm.is_close_to(before) and not cold.is_close_to(before)
    assert (warm.index.parent, cold.index.parent) == (name, None)


def test_the_optimizers_go_on_or_begin_anew(first_day: tuple[Line, Trained, str]) -> None:
    line, before, _ = first_day
    kept = line.train(2, warm_start="current")
    reset = line.train(2, warm_start="current", warm_optimizer="reset")
    assert before.num_tower_steps == reset.num_tower_steps == STEPS_OF_DAY
    assert kept.num_tower_steps == 2 * STEPS_OF_DAY
    (name,) = [name for name in before.tables if not name.endswith("/rows")]
    assert (kept.tables[name] >= before.tables[name]).all(), "Adagrad's sums only grow"
    assert not (reset.tables[name] >= before.tables[name]).all()


def test_days_that_the_bundle_has_learned_are_left_out(
    first_day: tuple[Line, Trained, str]
) -> None:
    line, _, name = first_day
    window = line.train(3, first=1, warm_start=name)
    two_days = line.train(3, first=2, warm_start=name)
    assert str(window.index.first_day) == "2024-01-02"
    assert window.index.num_steps == 2 * STEPS_OF_DAY
    assert all(torch.equal(t, two_days.weights()[key]) for key, t in window.weights().items())
    line.train(3, first=1, warm_start=name)
    line.publish("--as", "window")
    days = line.store.open("window").index.train_days
    assert (str(days.first), str(days.last)) == ("2024-01-02", "2024-01-03")


def test_a_retry_after_publishing_begins_where_the_first_try_did(
    first_day: tuple[Line, Trained, str]
) -> None:
    line, _, first = first_day
    once = line.train(2, warm_start="current")
    second = line.publish()
    assert second != first
    again = line.train(2, warm_start="current")
    assert again.index.parent == first
    assert all(torch.equal(t, once.weights()[name]) for name, t in again.weights().items())
    assert line.publish() == second, "the same bundle"
    assert line.train(3, warm_start="current").index.parent == second
    assert line.publish("--rollback") == first


def test_a_resumed_run_keeps_what_it_began_from(first_day: tuple[Line, Trained, str]) -> None:
    line, _, first = first_day
    whole = line.train(2, warm_start=first[:12], steps_per_checkpoint=2)
    folder = line.experiment.run_path / "checkpoints" / "2024-01-03"
    last = latest_checkpoint(folder)
    assert last is not None
    (last / "index.json").unlink()
    resumed = line.train(2, resume=True, warm_start=first[:12], steps_per_checkpoint=2)
    assert resumed.index.parent == first
    assert all(torch.equal(t, whole.weights()[name]) for name, t in resumed.weights().items())


@pytest.mark.distributed
@pytest.mark.slow
def test_several_ranks_go_on_with_vocabularies_and_tables_that_have_grown(tmp_path: Path) -> None:
    """Over the edge of the 1,024 rows that a table grows by."""
    before = Encodings(vocabularies={"user_id": tuple(f"u{n}" for n in range(900))})
    after = before.appended(Encodings(vocabularies={
        "user_id": tuple(f"v{n}" for n in range(600)),
    }))
    old, new = range(2, 902), range(902, 1502)

    def with_new_users(day: date, rows: pa.Table) -> pa.Table:
        if day < date(2024, 1, 3):
            return rows
        users = rows["user_id"].to_numpy().copy()
        users[::2] = np.resize(np.array(new, users.dtype), len(users[::2]))
        place = rows.schema.get_field_index("user_id")
        return rows.set_column(place, rows.schema.field(place), pa.array(users))

    line = Line(tmp_path, before, with_new_users)
    first = line.train(1)
    name = line.publish()
    append_keys(line.experiment.manifest, line.experiment.samples_path, after)
    cold = line.train(3, towers=STILL, tables=STILL)
    still = line.train(3, towers=STILL, tables=STILL, warm_start="current", warm_optimizer="reset")
    assert (still.index.num_rows_of_table["user_id"], first.index.num_rows_of_table["user_id"]) == \
        (1502, 902)
    assert is_close(still.rows("user_id", old), first.rows("user_id", old))
    assert is_close(still.rows("user_id", new), cold.rows("user_id", new)), "as drawn from the seed"
    assert not is_close(cold.rows("user_id", old), first.rows("user_id", old))
    alone = line.train(3, warm_start="current")
    together = line.train(3, warm_start="current", num_ranks=2)
    assert (together.index.num_ranks, together.index.parent) == (2, name)
    assert together.is_close_to(alone)
    ended = [(one["run_id"], one["rank"]) for one in line.logged if one["event"] == "ended"]
    assert sorted(ended) == [("small", 0), ("small", 1)]
    (point,) = [one for one in line.logged if one["event"] == "point"]
    assert point["rank"] == 0 and point["step"] == STEPS_OF_DAY and point["loss"] > 0
    assert not is_close(together.rows("user_id", new), still.rows("user_id", new)), "they learn"
    assert line.publish() != name
    assert line.store.open(CURRENT).encodings.content_hash == after.content_hash


def test_the_first_day_may_begin_from_scratch(tmp_path: Path) -> None:
    line = Line(tmp_path)
    with pytest.raises(InputError, match="no bundle is called 'current'"):
        line.train(1, warm_start="current")
    scratch = line.train(1, warm_start="current", warm_first="from_scratch")
    assert scratch.index.parent is None
    line.publish()
    again = line.train(1, warm_start="current", warm_first="from_scratch")
    assert again.index.parent is None, "a retry, though the model of this very day serves"


@pytest.mark.parametrize(("train", "reason"), [
    ({"day": 1, "warm_start": "current"}, "has learned from 2024-01-01 to 2024-01-01, and so did"),
    ({"day": 2, "warm_start": "current", "tables": {"name": "adam"}},
     "was trained with train.tables.name = adagrad, the config says adam: take reset"),
    ({"day": 2, "warm_start": "nothing"}, "no bundle is called 'nothing'"),
])
def test_what_cannot_be_begun_from_is_told(
    first_day: tuple[Line, Trained, str], train: dict[str, Any], reason: str
) -> None:
    line, _, _ = first_day
    with pytest.raises(InputError, match=reason):
        line.train(**train)


def test_a_bundle_without_the_optimizers_state_cannot_go_on_with_it(
    first_day: tuple[Line, Trained, str]
) -> None:
    line, _, _ = first_day
    line.train(1)
    line.publish("--as", "weights", "--set", "publish.optimizer_state=false")
    with pytest.raises(InputError, match="holds no optimizer state: take reset"):
        line.train(2, warm_start="weights")
    assert line.train(2, warm_start="weights", warm_optimizer="reset").index.parent is not None


def test_a_line_forgets_the_rows_that_none_of_its_last_days_has_seen(tmp_path: Path) -> None:
    line = Line(tmp_path)
    line.document["embedding"] = {"expire_days": 2}
    line.train(1)
    line.publish("--set", "publish.optimizer_state=false")
    first = line.train(2, warm_start="current", warm_optimizer="reset")
    line.publish()
    second = line.train(3, warm_start="current")
    users = {day: line.users_of(day) for day in (1, 2, 3)}
    for trained, seen in ((first, users[1] | users[2]), (second, users[2] | users[3])):
        assert set(trained.rows_seen("user_id")) == seen
        assert trained.rows_moved("user_id", line.rows_at_first("user_id")) == seen
    assert users[1] - users[2] - users[3], "some began anew"
    assert second.rows_seen("user_id").keys() & (users[2] - users[3]), "of the bundle's own days"


def test_rows_of_a_bundle_that_kept_no_days_count_as_seen_on_its_last(tmp_path: Path) -> None:
    line = Line(tmp_path)
    line.train(1)
    line.publish()
    line.document["embedding"] = {"expire_days": 2}
    second = line.train(2, warm_start="current")
    line.publish()
    third = line.train(3, warm_start="current")
    days = second.rows_seen("user_id")
    assert {row for row, day in days.items() if day == day_number(date(2024, 1, 2))} == \
        line.users_of(2)
    assert line.users_of(1) <= days.keys()
    assert third.rows_moved("user_id", line.rows_at_first("user_id")) == \
        line.users_of(2) | line.users_of(3)
