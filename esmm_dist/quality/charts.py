"""The quality report's own pictures; every function takes figures and gives one `<svg>` element.

They compute no figure.
"""

from collections.abc import Mapping, Sequence
from html import escape

from esmm_dist.pages.charts import day_label
from esmm_dist.pages.svg import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Axis,
    count_text,
    ends,
    horizontal_grid,
    percent_text,
    svg,
    text_at,
)

SPARK_WIDTH, SPARK_HEIGHT = 96, 20
DELAY_TICKS = {1: "1 s", 60: "1 min", 3600: "1 h", 86_400: "1 d", 604_800: "7 d", 2_592_000: "30 d"}


def bar_chart(title: str, values: Sequence[float], days: Sequence[str]) -> str:
    """A number by day, from zero."""
    if not days or not max(values):
        return ""
    y = Axis(0, max(values) * 1.06, HEIGHT - BOTTOM, TOP)
    slot = (WIDTH - RIGHT - LEFT) / len(days)
    parts = horizontal_grid(y, count_text)
    for place, (day, value) in enumerate(zip(days, values)):
        left = LEFT + slot * (place + 0.16)
        parts += day_label(place, len(days), left + slot * 0.34, day)
        parts.append(
            f'<rect class="bar" x="{left:.1f}" y="{y(value):.1f}" width="{slot * 0.68:.1f}" '
            f'height="{y(0) - y(value):.1f}"><title>{escape(day)}: {value:,}</title></rect>'
        )
    return svg(title, parts)


def delay_chart(title: str, curves: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """The share of events that came within a time, time on a logarithmic axis; the last series'
    line is drawn stronger."""
    lines = {name: points for name, points in curves.items() if points}
    if not lines:
        return ""
    x = Axis(1, max(edge for points in lines.values() for edge, _ in points), LEFT, WIDTH - RIGHT,
             log=True)
    y = Axis(0, 1, HEIGHT - BOTTOM, TOP)
    parts = horizontal_grid(y, percent_text)
    for seconds, text in DELAY_TICKS.items():
        if seconds <= x.high:
            parts.append(f'<line class="grid" {ends(x(seconds), TOP, x(seconds), y(0))}/>')
            parts.append(text_at(x(seconds), HEIGHT - BOTTOM + 15, text, "middle"))
    parts.append(text_at((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 5, "time since the cause", "middle",
                         "axis"))
    for name, points in lines.items():
        last = "last" if name == list(lines)[-1] else ""
        path = " ".join(f"{x(edge):.1f},{y(share):.1f}" for edge, share in points)
        parts.append(f'<polyline class="curve {last}" points="{path}">'
                     f"<title>{escape(name)}</title></polyline>")
    return svg(title, parts)


def sparkline(title: str, values: Sequence[float | None], high: float) -> str:
    """A figure's course over the days, from 0 to `high`, small enough to stand in a table."""
    known = [(place, value) for place, value in enumerate(values) if value is not None]
    if len(known) < 2:
        return ""
    x = Axis(0, len(values) - 1, 2, SPARK_WIDTH - 2)
    y = Axis(0, high or 1, SPARK_HEIGHT - 2, 2)
    path = " ".join(f"{x(place):.1f},{y(value):.1f}" for place, value in known)
    place, value = known[-1]
    return (
        f'<svg class="spark" viewBox="0 0 {SPARK_WIDTH} {SPARK_HEIGHT}" role="img" '
        f'aria-label="{escape(title)}"><polyline class="curve last" points="{path}"/>'
        f'<circle class="model" cx="{x(place):.1f}" cy="{y(value):.1f}" r="2"/></svg>'
    )
