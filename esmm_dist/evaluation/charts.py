"""The evaluation's pictures: calibration, training curves, paired differences.

Every function takes figures and gives one `<svg>` element; it computes no figure.
"""

import math
from collections.abc import Mapping, Sequence
from html import escape

from esmm_dist.evaluation.calibration import ReliabilityBin
from esmm_dist.pages.svg import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Axis,
    Mark,
    count_text,
    decimals_of,
    ends,
    frame,
    horizontal_grid,
    mark_at,
    percent_text,
    signed_text,
    svg,
    text_at,
)

SQUARE_HEIGHT = 330
MAX_POINTS_PER_LINE = 120
LOG_FROM_RATIO = 8.0


def reliability_chart(
    title: str, bins: Mapping[str, Sequence[ReliabilityBin]], num_rows_word: str
) -> str:
    """Predicted rate across, observed rate up, one mark a bin and series; the diagonal is right.

    Args:
        bins: by series, model before reference.
        num_rows_word: what a row is: impressions, clicks.
    """
    all_bins = [b for of_series in bins.values() for b in of_series]
    if not all_bins:
        return ""
    low, high, log = _rate_domain(all_bins)
    x = Axis(low, high, LEFT, WIDTH - RIGHT, log)
    y = Axis(low, high, SQUARE_HEIGHT - BOTTOM, TOP, log)
    parts = [*frame(x, y, percent_text, percent_text, "predicted", "observed"),
             f'<line class="ideal" {ends(x(low), y(low), x(high), y(high))}/>']
    for series, of_series in reversed(list(bins.items())):
        for b in of_series:
            text = (f"{series}: predicted {percent_text(b.predicted, 3)}, observed "
                    f"{percent_text(b.observed, 3)} ({percent_text(b.interval.low, 3)} to "
                    f"{percent_text(b.interval.high, 3)}), {b.num_positives:,} of {b.num_rows:,} "
                    f"{num_rows_word}")
            mark = Mark(b.observed, b.interval.low, b.interval.high, text)
            parts.append(mark_at(x(b.predicted), y, mark, series))
    return svg(title, parts, SQUARE_HEIGHT)


def curve_chart(
    title: str, curves: Mapping[str, Sequence[tuple[float, float]]], unit: str
) -> str:
    """Losses over samples seen, one line a fold; the last fold's line is drawn stronger.

    The first steps fall from the loss of an untrained model: they lie above the frame.
    """
    lines = {name: _thinned(points) for name, points in curves.items() if len(points) > 1}
    if not lines:
        return ""
    after_start = [v for points in lines.values() for _, v in points[len(points) // 12:]]
    low, high = min(after_start), max(after_start)
    margin = (high - low or abs(high) or 1.0) * 0.05
    x = Axis(0, max(n for points in lines.values() for n, _ in points), LEFT, WIDTH - RIGHT)
    y = Axis(low - margin, high + margin, HEIGHT - BOTTOM, TOP)
    parts = frame(x, y, count_text, decimals_of(y), "samples seen", unit)
    for name, points in lines.items():
        last = "last" if name == list(lines)[-1] else ""
        visible = [p for i, p in enumerate(points)
                   if p[1] <= y.high or (i + 1 < len(points) and points[i + 1][1] <= y.high)]
        path = " ".join(f"{x(n):.1f},{y(v):.1f}" for n, v in visible)
        parts.append(f'<polyline class="curve {last}" points="{path}">'
                     f"<title>{escape(name)}</title></polyline>")
    return svg(title, parts)


def difference_chart(title: str, marks: Mapping[str, Mark], unit: str) -> str:
    """Differences with their intervals, one row each, about a line at zero."""
    if not marks:
        return ""
    row, label_width = 28, 116
    height = TOP + row * len(marks) + BOTTOM
    reach = max(abs(v) for m in marks.values() for v in (m.value, m.low or 0, m.high or 0)) * 1.08
    x = Axis(-(reach or 1), reach or 1, label_width, WIDTH - RIGHT)
    bottom = height - BOTTOM
    parts = []
    for tick in x.ticks():
        line = "zero" if abs(tick) < 1e-12 else "grid"
        parts.append(f'<line class="{line}" {ends(x(tick), TOP, x(tick), bottom)}/>')
        parts.append(text_at(x(tick), bottom + 16, signed_text(tick), "middle"))
    parts.append(text_at((label_width + WIDTH - RIGHT) / 2, height - 4, unit, "middle", "axis"))
    for place, (name, mark) in enumerate(marks.items()):
        y = TOP + row * (place + 0.5)
        parts.append(text_at(label_width - 10, y + 4, name, "end", "label"))
        stroke = ""
        if mark.low is not None and mark.high is not None:
            stroke = f'<line class="interval" {ends(x(mark.low), y, x(mark.high), y)}/>'
        parts.append(f'<g class="mark model">{stroke}<circle cx="{x(mark.value):.1f}" cy="{y:.1f}" '
                     f'r="4"/><title>{escape(mark.text)}</title></g>')
    return svg(title, parts, height)


def ratio_chart(
    title: str, series: Mapping[str, Sequence[Mark | None]], labels: Sequence[str], unit: str,
    reach: Sequence[float] = (),
) -> str:
    """Ratios on a logarithmic axis about a line at 1, a place for each label; two series stand
    side by side.

    Args:
        reach: what the axis holds beside the series, so that charts can be compared.
    """
    marks = [mark for of_series in series.values() for mark in of_series if mark is not None]
    if not marks:
        return ""
    bounds = [*reach] + [v for m in marks for v in (m.value, m.low or m.value, m.high or m.value)]
    low, high = min(0.95, *bounds) / 1.03, max(1.05, *bounds) * 1.03
    y = Axis(max(low, 1e-4), high, HEIGHT - BOTTOM, TOP, log=True)
    slot = (WIDTH - RIGHT - LEFT) / len(labels)
    parts = horizontal_grid(y, lambda tick: f"{tick:g}")
    parts.append(f'<line class="ideal" {ends(LEFT, y(1.0), WIDTH - RIGHT, y(1.0))}/>')
    parts.append(text_at(LEFT - 5, y(1.0) + 3.5, "1", "end"))
    offsets = (-0.15, 0.15) if len(series) > 1 else (0.0,)
    for place, label in enumerate(labels):
        center = LEFT + slot * (place + 0.5)
        parts.append(text_at(center, HEIGHT - BOTTOM + 15, label, "middle"))
        for offset, (name, of_series) in zip(offsets, series.items()):
            mark = of_series[place]
            if mark is not None:
                parts.append(mark_at(center + offset * slot, y, mark, name))
    parts.append(text_at((LEFT + WIDTH - RIGHT) / 2, HEIGHT - BOTTOM + 31, unit, "middle", "axis"))
    return svg(title, parts)


def _rate_domain(bins: Sequence[ReliabilityBin]) -> tuple[float, float, bool]:
    """One domain for both axes; logarithmic where the rates span much."""
    rates = [v for b in bins for v in (b.predicted, b.observed, b.interval.low, b.interval.high)]
    positive = [b.predicted for b in bins if b.predicted > 0] + [r for r in rates if r > 1e-6]
    low, high = min(positive), max(positive)
    predicted = [b.predicted for b in bins]
    if max(predicted) > LOG_FROM_RATIO * max(min(predicted), 1e-12):
        return low / 1.15, min(1.0, high * 1.15), True
    margin = (high - low or high) * 0.05
    return max(0.0, low - margin), min(1.0, high + margin), False


def _thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Neighbouring points averaged, so that a long curve costs few bytes."""
    size = math.ceil(len(points) / MAX_POINTS_PER_LINE)
    groups = [points[start:start + size] for start in range(0, len(points), size)]
    return [(g[-1][0], sum(v for _, v in g) / len(g)) for g in groups]
