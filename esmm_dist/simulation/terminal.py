"""The table that a simulation ends with; it computes nothing but quotients."""

from collections import Counter
from collections.abc import Mapping

from esmm_dist.simulation.run import Simulated

COLUMNS = ("day", "impressions", "clicks", "conversions", "CTR", "CVR", "p(v|do c)", "if clicked")
CLEAN = ("_clean", "sum_", "potential_", "conversions_after_window")


def summary(simulated: Simulated) -> str:
    """A table of the days, and under it the dirt that was put in."""
    total: Counter[str] = Counter()
    lines = [_line(COLUMNS)]
    for day, tally in simulated.tally_of_day.items():
        lines.append(_line(_cells(day, tally)))
        total.update(tally)
    lines.append(_line(_cells("all", total)))
    lines.append("p(v|do c): mean true probability that a click would convert, over all "
                 "impressions; if clicked: over the clicked ones")
    dirt = [f"{name.replace('_', ' ')} {count:,}" for name, count in sorted(total.items())
            if "_" in name and not any(part in name for part in CLEAN) and count]
    if dirt:
        lines.append(f"dirt put in: {', '.join(dirt)}")
    return "\n".join(lines)


def _cells(name: str, tally: Mapping[str, float]) -> tuple[str, ...]:
    impressions, clicks = tally["impressions"], tally["clicks"]
    conversions = tally["conversions"]
    of_clicked = tally["sum_p_conversion_do_click_of_clicked"]
    return (
        name, f"{impressions:,}", f"{clicks:,}", f"{conversions:,}", f"{clicks / impressions:.4f}",
        f"{conversions / clicks:.5f}" if clicks else "-",
        f"{tally['sum_p_conversion_do_click'] / impressions:.5f}",
        f"{of_clicked / clicks:.5f}" if clicks else "-",
    )


def _line(cells: tuple[str, ...]) -> str:
    return f"{cells[0]:10}" + "".join(f" {cell:>11}" for cell in cells[1:])
