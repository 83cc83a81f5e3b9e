"""Charts that more than one page draws; each function takes figures and gives one `<svg>` element.

They compute no figure.
"""

import math
from collections.abc import Callable, Mapping, Sequence

from esmm_dist.pages.svg import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Axis,
    Mark,
    decimals_of,
    horizontal_grid,
    mark_at,
    svg,
    text_at,
)


def day_chart(
    title: str, series: Mapping[str, Sequence[Mark | None]], days: Sequence[str],
    as_text: Callable[[float], str] | None = None,
) -> str:
    """A metric by day, with intervals; two series stand side by side.

    Args:
        as_text: writes the ticks; else they are decimal numbers.
    """
    marks = [m for of_series in series.values() for m in of_series if m is not None]
    if not marks:
        return ""
    lows = [m.value if m.low is None else m.low for m in marks]
    highs = [m.value if m.high is None else m.high for m in marks]
    margin = (max(highs) - min(lows) or 0.01) * 0.06
    y = Axis(min(lows) - margin, max(highs) + margin, HEIGHT - BOTTOM, TOP)
    slot = (WIDTH - RIGHT - LEFT) / len(days)
    parts = horizontal_grid(y, as_text or decimals_of(y))
    offsets = (-0.14, 0.14) if len(series) > 1 else (0.0,)
    for place, day in enumerate(days):
        center = LEFT + slot * (place + 0.5)
        parts += day_label(place, len(days), center, day)
        for offset, (name, of_series) in zip(offsets, series.items()):
            mark = of_series[place]
            if mark is not None:
                parts.append(mark_at(center + offset * slot, y, mark, name))
    return svg(title, parts)


def day_label(place: int, num_days: int, x: float, day: str) -> list[str]:
    """Month and day below a day's place, as many as there is room for."""
    if num_days > 7 and place % math.ceil(num_days / 7):
        return []
    return [text_at(x, HEIGHT - BOTTOM + 16, day[5:], "middle")]
