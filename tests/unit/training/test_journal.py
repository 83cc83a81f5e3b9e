"""What a journal keeps of the run that it goes on with, whenever the next kill comes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
from tensorboard.backend.event_processing.event_accumulator import (  # type: ignore[import-untyped]
    EventAccumulator,
)

from esmm_dist.storage.desk import Desk
from esmm_dist.training.curve import read_curve, write_point
from esmm_dist.training.journal import Journal
from esmm_dist.training.loop import Point

BATCH_SIZE = 8
POINTS = [{"step": step, "loss": 1 / step} for step in (10, 20, 30)]


def journal(run: Path, first_step: int) -> Journal:
    return Journal(title="fold", desk=Desk(run), fold="fold", first_step=first_step, num_steps=40,
                   batch_size=BATCH_SIZE)


@pytest.mark.parametrize(("first_step", "num_kept"), [(0, 0), (20, 2), (30, 3)])
def test_before_its_first_point_the_curve_is_on_disk_as_far_as_the_run_goes_on_with_it(
    tmp_path: Path, first_step: int, num_kept: int
) -> None:
    curve = tmp_path / "curves" / "fold.jsonl"
    curve.parent.mkdir()
    curve.write_text("".join(map(write_point, POINTS)))
    with journal(tmp_path, first_step):
        assert read_curve(curve) == POINTS[:num_kept]
        assert [path.name for path in curve.parent.iterdir()] == [curve.name]


def point(step: int, loss: float) -> Point:
    return Point(step=step, num_samples=step * BATCH_SIZE, losses={"loss": loss},
                 samples_per_second=1.0, data_wait_share=0.0, communication_wait_share=0.0,
                 sent_bytes_per_step=0)


def test_a_full_disk_is_told_by_the_curve_that_it_takes_no_more_of(
    tmp_path: Path, limited_files: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Its thread would tell of the disk as well, whenever it comes to that.
    monkeypatch.setattr("esmm_dist.training.journal.SummaryWriter", MagicMock())
    with pytest.raises(OSError, match="File too large: '.*/curves/fold.jsonl'"):
        with journal(tmp_path, 0) as full:
            limited_files(500)
            for step in range(10):
                full(point(step, 1.0))
    assert len(read_curve(tmp_path / "curves" / "fold.jsonl")) > 1


def test_tensorboard_shows_each_point_of_a_resumed_run_once_and_none_is_lost(
    tmp_path: Path
) -> None:
    with journal(tmp_path, 0) as killed:
        for step in (10, 20, 30):
            killed(point(step, 1.0))
    with journal(tmp_path, 20) as resumed:
        for step in (30, 40):
            resumed(point(step, 2.0))
    events: Any = EventAccumulator(str(tmp_path / "events" / "fold"))
    events.Reload()
    shown = [(event.step // BATCH_SIZE, event.value) for event in events.Scalars("loss")]
    assert shown == [(10, 1.0), (20, 1.0), (30, 2.0), (40, 2.0)]
