"""What a command tells while it works: lines for people or, with ESMM_DIST_LOG=json, one JSON
object a line for whoever collects logs.

An object says what happened (`event`, its `text`, figures by name), when (`at`, UTC), and who
tells: `command`, `run` (the config's name, which of a night ends in its day), `day` (the last of
samples.days), `rank`, and `run_id`, which is $ESMM_DIST_RUN_ID where a scheduler gives one to all
commands of a run, else `run`. Events stand on stderr, what a command prints as its result
(`event: result`) on stdout; whatever else writes to either becomes an object too, `event: printed`.
What does not pass through Python, such as lines of a JVM, stays as it is.
"""

import io
import json
import math
import os
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from datetime import UTC, datetime
from typing import Any, TextIO

from esmm_dist.contract.errors import InputError

FORMAT = "ESMM_DIST_LOG"
RUN_ID = "ESMM_DIST_RUN_ID"
FORMATS = ("text", "json")

SECONDS_PER_REDRAW = 0.5
"""Under a launcher that prefixes lines, a bar redrawn more often than this is noise."""
SECONDS_PER_LINE = 30.0
"""Of a bar that leaves a line each time."""

_context: dict[str, Any] = {}


def in_json() -> bool:
    """Whether machines read what is told.

    Raises:
        InputError: the environment asks for a format that there is not.
    """
    name = os.environ.get(FORMAT) or "text"  # an empty value is none
    if name not in FORMATS:
        raise InputError(f"{FORMAT} = {name!r}: give one of {', '.join(FORMATS)}")
    return name == "json"


def seconds_per_redraw() -> float:
    """How often a progress bar is drawn."""
    return SECONDS_PER_LINE if in_json() else SECONDS_PER_REDRAW


def bind(**context: Any) -> None:
    """Adds to what every later object says of who tells."""
    _context.update(context)


def tell(event: str, text: str | None, **figures: Any) -> None:
    """Tells of one event on stderr.

    Args:
        event: what kind it is, in few words that do not change.
        text: the line for people, who are told nothing where there is none.
        figures: for machines, who read no figures out of texts.
    """
    if in_json():
        stream = sys.stderr
        stream = stream.beneath if isinstance(stream, _Lines) else stream
        _write(stream, {"event": event, "text": text, **figures})
    elif text is not None:
        print(text, file=sys.stderr, flush=True)


def tell_failure(error: BaseException) -> None:
    """Tells of an error that nobody expected, with where it came from."""
    if in_json():
        trace = "".join(traceback.format_exception(error))
        tell("failed", f"{type(error).__name__}: {error}", trace=trace)
    else:
        traceback.print_exception(error)
        sys.stderr.flush()


@contextmanager
def telling(command: str) -> Iterator[None]:
    """The length of a command, in which all that is printed is told in the format asked for.

    Raises:
        SystemExit: in JSON, after an error that nobody expected, which has been told.
    """
    before = dict(_context)
    _context.clear()
    try:
        if in_json():
            # A launcher tells its ranks apart by this; without one there is one.
            bind(command=command, rank=int(os.environ.get("HOROVOD_RANK", "0")))
            with _all_in_json():
                yield
        else:
            yield
    finally:
        _context.clear()
        _context.update(before)


@contextmanager
def _all_in_json() -> Iterator[None]:
    begun = time.monotonic()
    out, err = _Lines(sys.stdout, "result"), _Lines(sys.stderr, "printed")
    with redirect_stdout(out), redirect_stderr(err):
        tell("begun", None)
        try:
            yield
        except Exception as error:
            tell_failure(error)
            raise SystemExit(1) from None
        finally:
            out.close()
            err.close()
            tell("ended", None, seconds=round(time.monotonic() - begun, 3))


class _Lines(io.TextIOBase):
    """A stream whose lines become objects; a bar that is redrawn leaves a line each time."""

    def __init__(self, beneath: TextIO, event: str) -> None:
        self.beneath, self._event, self._begun = beneath, event, ""

    encoding = "utf-8"

    def write(self, text: str) -> int:
        *lines, self._begun = (self._begun + text).replace("\r", "\n").split("\n")
        for line in lines:
            if line.strip():
                _write(self.beneath, {"event": self._event, "text": line})
        return len(text)

    def flush(self) -> None:
        self.beneath.flush()

    def close(self) -> None:
        """Tells what has not been ended; the stream may be written to again."""
        self.write("\n")


def _plain(value: Any) -> Any:
    """JSON has no word for NaN and infinity."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _write(stream: TextIO, told: dict[str, Any]) -> None:
    who = {"run_id": os.environ.get(RUN_ID) or _context.get("run"), **_context}
    at = datetime.now(UTC).isoformat(timespec="milliseconds")
    line = json.dumps(_plain({"at": at, **who, **told}), ensure_ascii=False, default=str)
    stream.write(line + "\n")  # at once: ranks share a terminal
    stream.flush()
