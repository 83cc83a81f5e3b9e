"""The report's pictures as small hand-made SVG: text stays text, colours follow the page's theme.

Every function takes figures and gives one `<svg>` element whose classes the report's style sheet
colours; it computes no figure.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from esmm_dist.evaluation.calibration import ReliabilityBin

WIDTH, HEIGHT = 340, 250
SQUARE_HEIGHT = 330
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 12, 36
MAX_POINTS_PER_LINE = 120
LOG_FROM_RATIO = 8.0


@dataclass(frozen=True)
class Axis:
    """From values to pixels, with the ticks to be drawn."""

    low: float
    high: float
    first_pixel: float
    last_pixel: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """The pixel of a value, kept inside the frame."""
        low, high = self.low, self.high
        value = min(max(value, low), high)
        if self.log:
            low, high, value = math.log(low), math.log(high), math.log(value)
        share = (value - low) / (high - low)
        return self.first_pixel + share * (self.last_pixel - self.first_pixel)

    def ticks(self) -> list[float]:
        """About five round values within the axis."""
        if self.log:
            decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            values = [digit * 10.0**decade for decade in decades for digit in (1, 2, 5)]
            inside = [value for value in values if self.low <= value <= self.high]
            return inside if len(inside) <= 6 else [v for v in inside if f"{v:e}"[0] == "1"]
        rough = (self.high - self.low) / 5
        decade = 10.0 ** math.floor(math.log10(rough))
        step = decade * next(d for d in (1, 2, 5, 10) if d * decade >= rough)
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [n * step for n in range(first, last + 1)]


@dataclass(frozen=True)
class Mark:
    """A value with its interval and what a pointer resting on it reads."""

    value: float
    low: float | None
    high: float | None
    text: str


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
    parts = [*_frame(x, y, _percent, _percent, "predicted", "observed"),
             f'<line class="ideal" {_ends(x(low), y(low), x(high), y(high))}/>']
    for series, of_series in reversed(list(bins.items())):
        for b in of_series:
            text = (f"{series}: predicted {_percent(b.predicted, 3)}, observed "
                    f"{_percent(b.observed, 3)} ({_percent(b.interval.low, 3)} to "
                    f"{_percent(b.interval.high, 3)}), {b.num_positives:,} of {b.num_rows:,} "
                    f"{num_rows_word}")
            mark = Mark(b.observed, b.interval.low, b.interval.high, text)
            parts.append(_mark(x(b.predicted), y, mark, series))
    return _svg(title, parts, SQUARE_HEIGHT)


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
    parts = _frame(x, y, _count, _decimals_of(y), "samples seen", unit)
    for name, points in lines.items():
        last = "last" if name == list(lines)[-1] else ""
        visible = [p for i, p in enumerate(points)
                   if p[1] <= y.high or (i + 1 < len(points) and points[i + 1][1] <= y.high)]
        path = " ".join(f"{x(n):.1f},{y(v):.1f}" for n, v in visible)
        parts.append(f'<polyline class="curve {last}" points="{path}">'
                     f"<title>{escape(name)}</title></polyline>")
    return _svg(title, parts)


def day_chart(title: str, series: Mapping[str, Sequence[Mark | None]], days: Sequence[str]) -> str:
    """A metric by day, with intervals; the series stand side by side."""
    marks = [m for of_series in series.values() for m in of_series if m is not None]
    if not marks:
        return ""
    lows = [m.value if m.low is None else m.low for m in marks]
    highs = [m.value if m.high is None else m.high for m in marks]
    margin = (max(highs) - min(lows) or 0.01) * 0.06
    y = Axis(min(lows) - margin, max(highs) + margin, HEIGHT - BOTTOM, TOP)
    slot = (WIDTH - RIGHT - LEFT) / len(days)
    parts = _horizontal_grid(y, _decimals_of(y))
    for place, day in enumerate(days):
        center = LEFT + slot * (place + 0.5)
        if len(days) <= 7 or place % math.ceil(len(days) / 7) == 0:
            parts.append(_text(center, HEIGHT - BOTTOM + 16, day[5:], "middle"))
        for offset, (name, of_series) in zip((-0.14, 0.14), series.items()):
            mark = of_series[place]
            if mark is not None:
                parts.append(_mark(center + offset * slot, y, mark, name))
    return _svg(title, parts)


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
        parts.append(f'<line class="{line}" {_ends(x(tick), TOP, x(tick), bottom)}/>')
        parts.append(_text(x(tick), bottom + 16, _signed(tick), "middle"))
    parts.append(_text((label_width + WIDTH - RIGHT) / 2, height - 4, unit, "middle", "axis"))
    for place, (name, mark) in enumerate(marks.items()):
        y = TOP + row * (place + 0.5)
        parts.append(_text(label_width - 10, y + 4, name, "end", "label"))
        stroke = ""
        if mark.low is not None and mark.high is not None:
            stroke = f'<line class="interval" {_ends(x(mark.low), y, x(mark.high), y)}/>'
        parts.append(f'<g class="mark model">{stroke}<circle cx="{x(mark.value):.1f}" cy="{y:.1f}" '
                     f'r="4"/><title>{escape(mark.text)}</title></g>')
    return _svg(title, parts, height)


# ---------------------------------------------------------------------------------------------
# Pieces
# ---------------------------------------------------------------------------------------------


def _svg(title: str, parts: Iterable[str], height: float = HEIGHT) -> str:
    return (f'<svg viewBox="0 0 {WIDTH} {height:g}" role="img" aria-label="{escape(title)}">'
            + "".join(parts) + "</svg>")


def _frame(
    x: Axis, y: Axis, x_text: Callable[[float], str], y_text: Callable[[float], str],
    x_label: str, y_label: str,
) -> list[str]:
    bottom = y.first_pixel
    parts = _horizontal_grid(y, y_text)
    for tick in x.ticks():
        parts.append(f'<line class="grid" {_ends(x(tick), TOP, x(tick), bottom)}/>')
        parts.append(_text(x(tick), bottom + 15, x_text(tick), "middle"))
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, bottom + 31, x_label, "middle", "axis"))
    middle = (TOP + bottom) / 2
    parts.append(f'<text class="axis" text-anchor="middle" '
                 f'transform="translate(9 {middle:g}) rotate(-90)">{escape(y_label)}</text>')
    return parts


def _horizontal_grid(y: Axis, text: Callable[[float], str]) -> list[str]:
    parts = []
    for tick in y.ticks():
        parts.append(f'<line class="grid" {_ends(LEFT, y(tick), WIDTH - RIGHT, y(tick))}/>')
        parts.append(_text(LEFT - 5, y(tick) + 3.5, text(tick), "end"))
    return parts


def _mark(x: float, y: Axis, mark: Mark, series: str) -> str:
    """A circle for the model, a square for the reference, so that no reader needs the colour."""
    stroke = ""
    if mark.low is not None and mark.high is not None:
        stroke = f'<line class="interval" {_ends(x, y(mark.low), x, y(mark.high))}/>'
    middle = y(mark.value)
    shape = (f'<circle cx="{x:.1f}" cy="{middle:.1f}" r="3.5"/>' if series == "model" else
             f'<rect x="{x - 3:.1f}" y="{middle - 3:.1f}" width="6" height="6"/>')
    return f'<g class="mark {series}">{stroke}{shape}<title>{escape(mark.text)}</title></g>'


def _text(x: float, y: float, text: str, anchor: str, kind: str = "tick") -> str:
    return (f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">'
            f"{escape(text)}</text>")


def _ends(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'


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


def _percent(value: float, digits: int = 2) -> str:
    return f"{100 * value:.{digits}g} %"


def _decimals_of(axis: Axis) -> Callable[[float], str]:
    """Writes an axis' ticks with as many decimals as its step has."""
    ticks = axis.ticks()
    step = ticks[1] - ticks[0] if len(ticks) > 1 else abs(ticks[0]) or 1.0
    num_decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    return lambda value: f"{value:.{num_decimals}f}"


def _signed(value: float) -> str:
    return "0" if abs(value) < 1e-12 else f"{value:+.3g}".replace("-", "−")


def _count(value: float) -> str:
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g} {letter}"
    return f"{value:g}"
