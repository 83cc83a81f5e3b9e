"""What a job says while it runs, and the table it ends with; it computes nothing."""

import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from esmm_dist.contract.manifest import Day
from esmm_dist.contract.telling import in_json, tell
from esmm_dist.samples.cleaning import Leftover
from esmm_dist.samples.inspection import Finding

MAX_FINDINGS = 50
COLUMNS = ("day", "rows in", "dropped", "rows out", "clicks", "conv.", "CTR", "CVR", "files")


@contextmanager
def phase(what: str) -> Iterator[None]:
    """Says on stderr what is being done and, when it is done, how long it took."""
    start = time.monotonic()
    if in_json():
        tell("phase", f"{what} …")
        yield
        tell("phase done", what, seconds=round(time.monotonic() - start, 3))
        return
    print(f"{what} …", end="", file=sys.stderr, flush=True)
    try:
        yield
    except BaseException:
        print(file=sys.stderr)
        raise
    print(f" {time.monotonic() - start:.1f} s", file=sys.stderr, flush=True)


def summary(days: Sequence[Day]) -> str:
    """A table of the days built, and under it why rows were dropped and what events met."""
    lines = [_line(COLUMNS)]
    for day in days:
        lines.append(_line(_cells(str(day.day), [day])))
    lines.append(_line(_cells("all", days)))
    totals: Counter[str] = Counter()
    for day in days:
        totals.update(day.counters)
    for log in ("impressions", "clicks", "conversions", "samples"):
        counted = [
            f"{name.removeprefix(f'{log}_').replace('_', ' ')} {number:,}"
            for name, number in sorted(totals.items(), key=lambda item: -item[1])
            if name.startswith(f"{log}_") and number
        ]
        if counted:
            lines.append(f"{log}: {', '.join(counted)}")
    return "\n".join(lines)


def leftovers_table(leftovers: Sequence[Leftover]) -> str:
    """A line for each leftover, and what they come to by kind."""
    lines = [
        f"{found.num_bytes:>16,} bytes  {found.modified_at:%Y-%m-%d %H:%M} UTC  {found.kind:9}  "
        f"{found.path}"
        for found in leftovers
    ]
    by_kind = Counter(found.kind for found in leftovers)
    kinds = ", ".join(f"{kind} {number:,}" for kind, number in by_kind.items()) or "nothing"
    total = sum(found.num_bytes for found in leftovers)
    return "\n".join([*lines, f"not needed: {kinds}; {total:,} bytes"])


def findings_text(findings: Sequence[Finding]) -> str:
    """A line for each finding, as many as one can read."""
    if not findings:
        return "every invariant holds"
    lines = [f"{finding.path}: {finding.what}" for finding in findings[:MAX_FINDINGS]]
    if len(findings) > MAX_FINDINGS:
        lines.append(f"and {len(findings) - MAX_FINDINGS:,} more")
    return "\n".join(lines)


def _cells(name: str, days: Sequence[Day]) -> tuple[str, ...]:
    rows_in = sum(day.counters["impressions_in"] for day in days)
    rows, clicks = sum(day.num_rows for day in days), sum(day.num_clicks for day in days)
    conversions = sum(day.num_conversions for day in days)
    shown = rows + sum(day.counters.get("samples_left_out", 0) for day in days)
    return (
        name, f"{rows_in:,}", f"{rows_in - rows:,}", f"{rows:,}", f"{clicks:,}", f"{conversions:,}",
        f"{clicks / shown:.4f}" if shown else "-", f"{conversions / clicks:.4f}" if clicks else "-",
        f"{sum(len(day.files) for day in days):,}",
    )


def _line(cells: Sequence[str]) -> str:
    return f"{cells[0]:10}" + "".join(f" {cell:>11}" for cell in cells[1:])
