"""How a benchmark's results are recorded: a page of Markdown and its figures beside the script."""

import os
import platform
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from esmm_dist.evaluate import commit

BENCHMARKS = Path(__file__).resolve().parents[1]
STYLE = """<style>
text { font: 10.5px system-ui, sans-serif; fill: #55524c; } .axis { font-size: 11px; }
.label { font-size: 11.5px; fill: #1d1c1a; } .grid { stroke: #ddd8cd; }
.ideal { stroke: #66625b; stroke-dasharray: 4 4; } .zero { stroke: #66625b; stroke-width: 1.5; }
.interval { stroke-width: 1.6; }
.model { fill: #0a628c; stroke: #0a628c; } .reference { fill: #fff; stroke: #a8501a; }
.mark text, .cell text { fill: #1d1c1a; stroke: none; }
</style><rect width="100%" height="100%" fill="#fcfbf8"/>"""


def machine() -> str:
    """What it ran on, in a few words."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} cores ({platform.machine()}), {memory:.0f} GiB, no GPU"


def stem(theme: str) -> str:
    """The name of a record without its ending: theme, hardware, date."""
    return f"{theme}_{os.cpu_count()}cpu_{datetime.now(UTC):%Y-%m-%d}"


def heading(title: str, command: str, note: str) -> str:
    """How every record begins."""
    return (f"# {title}\n\nCommand: `{command}`. Machine: {machine()}. Commit: {commit()}. "
            f"Date: {datetime.now(UTC):%Y-%m-%d}. {note}\n")


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def bars(
    ratio_of_label: Mapping[str, float], bar_of_label: Mapping[str, float],
    why_missed: Callable[[str], str], at_most: bool = False,
) -> str:
    """Markdown: each bar, least or most, whether it was met, and if not, why."""
    lines = []
    for label, bar in bar_of_label.items():
        ratio = ratio_of_label[label]
        line = f"{label}: {ratio:.2f}, bar {bar:.3g}"
        missed = f"* **missed**: {line}. {why_missed(label)}"
        is_met = ratio <= bar if at_most else ratio >= bar
        lines.append(f"* met: {line}" if is_met else missed)
    return "\n".join(lines) + "\n"


def write_figure(name: str, svg: str) -> str:
    """Writes a picture that needs no page around it; returns the Markdown that shows it."""
    start = svg.index(">") + 1
    text = svg[:start].replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1) + STYLE
    (BENCHMARKS / name).write_text(text + svg[start:] + "\n", encoding="utf-8")
    return f"![{name.removesuffix('.svg').replace('_', ' ')}]({name})\n"


def write_record(name: str, text: str) -> Path:
    """Writes a page beside the scripts."""
    path = BENCHMARKS / f"{name}.md"
    path.write_text(text, encoding="utf-8")
    return path
