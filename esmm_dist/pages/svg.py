"""Pieces of hand-made SVG: axes, grids, marks. Text stays text, colours follow the page's theme.

They give elements whose classes the style sheet of `page` colours, and compute no figure.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 340, 250
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 12, 36


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
            if len(inside) > 6:
                return [v for v in inside if f"{v:e}"[0] == "1"]
            if len(inside) > 2:
                return inside
            # So short a piece of a logarithmic axis reads like a straight one.
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


def svg(title: str, parts: Iterable[str], height: float = HEIGHT) -> str:
    return (f'<svg viewBox="0 0 {WIDTH} {height:g}" role="img" aria-label="{escape(title)}">'
            + "".join(parts) + "</svg>")


def frame(
    x: Axis, y: Axis, x_text: Callable[[float], str], y_text: Callable[[float], str],
    x_label: str, y_label: str,
) -> list[str]:
    bottom = y.first_pixel
    parts = horizontal_grid(y, y_text)
    for tick in x.ticks():
        parts.append(f'<line class="grid" {ends(x(tick), TOP, x(tick), bottom)}/>')
        parts.append(text_at(x(tick), bottom + 15, x_text(tick), "middle"))
    parts.append(text_at((LEFT + WIDTH - RIGHT) / 2, bottom + 31, x_label, "middle", "axis"))
    middle = (TOP + bottom) / 2
    parts.append(f'<text class="axis" text-anchor="middle" '
                 f'transform="translate(9 {middle:g}) rotate(-90)">{escape(y_label)}</text>')
    return parts


def horizontal_grid(y: Axis, text: Callable[[float], str]) -> list[str]:
    parts = []
    for tick in y.ticks():
        parts.append(f'<line class="grid" {ends(LEFT, y(tick), WIDTH - RIGHT, y(tick))}/>')
        parts.append(text_at(LEFT - 5, y(tick) + 3.5, text(tick), "end"))
    return parts


def mark_at(x: float, y: Axis, mark: Mark, series: str) -> str:
    """A circle for the model, a square for the reference, so that no reader needs the colour."""
    stroke = ""
    if mark.low is not None and mark.high is not None:
        stroke = f'<line class="interval" {ends(x, y(mark.low), x, y(mark.high))}/>'
    middle = y(mark.value)
    shape = (f'<circle cx="{x:.1f}" cy="{middle:.1f}" r="3.5"/>' if series == "model" else
             f'<rect x="{x - 3:.1f}" y="{middle - 3:.1f}" width="6" height="6"/>')
    return f'<g class="mark {series}">{stroke}{shape}<title>{escape(mark.text)}</title></g>'


def text_at(x: float, y: float, text: str, anchor: str, kind: str = "tick") -> str:
    return (f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">'
            f"{escape(text)}</text>")


def ends(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'


def percent_text(value: float, digits: int = 2) -> str:
    rounded = float(f"{100 * value:.{digits}g}")  # which by itself is 1e+02 for 100
    return f"{rounded:g} %"


def decimals_of(axis: Axis) -> Callable[[float], str]:
    """Writes an axis' ticks with as many decimals as its step has."""
    ticks = axis.ticks()
    step = ticks[1] - ticks[0] if len(ticks) > 1 else abs(ticks[0]) or 1.0
    num_decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    return lambda value: f"{value:.{num_decimals}f}"


def signed_text(value: float) -> str:
    return "0" if abs(value) < 1e-12 else f"{value:+.3g}".replace("-", "−")


def count_text(value: float) -> str:
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g} {letter}"
    return f"{value:g}"
