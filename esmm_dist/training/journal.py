"""What a training tells: a progress bar, the curves as JSON lines, TensorBoard events.

Rank 0 keeps it; the other ranks have none.
"""

import sys
from types import TracebackType
from typing import Self

from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from esmm_dist.contract.telling import seconds_per_redraw, tell
from esmm_dist.storage.desk import Desk
from esmm_dist.storage.files import naming, write
from esmm_dist.training.curve import curve_of, read_curve, write_point
from esmm_dist.training.loop import Point


class Journal:
    """The journal of one fold; receives every point of its curves."""

    def __init__(
        self, *, title: str, desk: Desk, fold: str, first_step: int, num_steps: int,
        batch_size: int,
    ) -> None:
        """Begins a fold's journal.

        Args:
            title: stands before the bar.
            desk: of the run's folder, in which it keeps curves/<fold>.jsonl, of which points after
                first_step are cut off, and the TensorBoard events of events/<fold>/.
            first_step: steps done before, when a run is resumed.
        """
        self._desk = desk
        self._path = desk.file(curve_of(fold))
        kept = read_curve(self._path) if first_step and self._path.exists() else []
        write(self._path, "".join(
            write_point(point) for point in kept if point["step"] <= first_step
        ))
        self._curve = self._path.open("a", encoding="utf-8")
        self._title = title
        # TensorBoard hides what an earlier try wrote from there on.
        first_hidden = first_step * batch_size + 1
        self._events = SummaryWriter(desk.folder(f"events/{fold}"), purge_step=first_hidden)
        self._bar = tqdm(
            desc=title, total=num_steps * batch_size, initial=first_step * batch_size,
            unit=" samples", unit_scale=True, mininterval=seconds_per_redraw(), file=sys.stderr,
            dynamic_ncols=True,
        )

    def __call__(self, point: Point) -> None:
        """Writes one point everywhere."""
        record = {
            "step": point.step, "num_samples": point.num_samples, **point.losses,
            "samples_per_second": point.samples_per_second,
            "data_wait_share": point.data_wait_share,
            "communication_wait_share": point.communication_wait_share,
            "sent_bytes_per_step": point.sent_bytes_per_step,
        }
        with naming(self._path):
            self._curve.write(write_point(record))
            self._curve.flush()
            for name, value in record.items():
                if name not in ("step", "num_samples"):
                    self._events.add_scalar(name, value, point.num_samples)
        tell("point", None, fold=self._title, **record)
        self._bar.set_postfix_str(
            ", ".join(f"{name} {value:.4f}" for name, value in point.losses.items()), refresh=False
        )
        self._bar.update(point.num_samples - self._bar.n)

    def save(self) -> None:
        """Puts all of it where the run's folder is, before the checkpoint of the same step."""
        with naming(self._path):
            self._events.flush()
            self._desk.save()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.close()
        with naming(self._path):
            self._curve.close()
            self._events.close()
            self._desk.save()
        self._desk.clear()
