"""A map of differences: blue where they are above 0, red where they are below."""

from collections.abc import Mapping

from esmm_dist.pages.svg import svg, text_at

WIDTH, CELL_HEIGHT = 340, 44


def heat_map(title: str, means: Mapping[tuple[float, float], float]) -> str:
    """Means by (sharing, selection): selection across, sharing up."""
    sharings = sorted({a for a, _ in means}, reverse=True)
    selections = sorted({b for _, b in means})
    most = max(map(abs, means.values())) or 1.0
    left, top, width = 56, 34, (WIDTH - 64) / len(selections)
    parts = [text_at(WIDTH / 2, 14, title, "middle", "label")]
    for row, sharing in enumerate(sharings):
        y = top + row * CELL_HEIGHT
        parts.append(text_at(left - 6, y + CELL_HEIGHT / 2 + 4, f"{sharing:g}", "end"))
        for column, selection in enumerate(selections):
            x = left + column * width
            if (sharing, selection) not in means:
                continue
            value = means[sharing, selection]
            colour = "#0a628c" if value > 0 else "#a82a2a"
            parts.append(f'<g class="cell"><rect x="{x:.1f}" y="{y}" width="{width - 2:.1f}" '
                         f'height="{CELL_HEIGHT - 2}" fill="{colour}" '
                         f'fill-opacity="{0.08 + 0.6 * abs(value) / most:.2f}"/>'
                         + text_at(x + width / 2, y + CELL_HEIGHT / 2 + 4, f"{value:+.3f}",
                                   "middle") + "</g>")
    bottom = top + len(sharings) * CELL_HEIGHT
    for column, selection in enumerate(selections):
        parts.append(text_at(left + (column + 0.5) * width, bottom + 14, f"{selection:g}",
                             "middle"))
    parts.append(text_at(left + (WIDTH - 64) / 2, bottom + 30, "selection", "middle", "axis"))
    parts.append(f'<text class="axis" text-anchor="middle" transform="translate(14 '
                 f'{(top + bottom) / 2:g}) rotate(-90)">sharing</text>')
    return svg(title, parts, bottom + 38)
