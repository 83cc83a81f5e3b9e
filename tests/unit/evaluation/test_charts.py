"""Pictures put values where they belong."""

import re

import pytest

from esmm_dist.evaluation.calibration import ReliabilityBin
from esmm_dist.evaluation.charts import (
    SQUARE_HEIGHT,
    curve_chart,
    difference_chart,
    reliability_chart,
)
from esmm_dist.evaluation.intervals import Interval
from esmm_dist.pages.svg import BOTTOM, LEFT, RIGHT, TOP, WIDTH, Mark


def test_a_calibrated_bin_lies_on_the_diagonal() -> None:
    bins = [ReliabilityBin(p, p, Interval(p * 0.9, p * 1.1), 100, 5) for p in (0.01, 0.05, 0.3)]
    picture = reliability_chart("t", {"model": bins, "reference": bins}, "clicks")
    diagonal = re.search(r'class="ideal" x1="(.*?)" y1="(.*?)" x2="(.*?)" y2="(.*?)"', picture)
    assert diagonal is not None
    x1, y1, x2, y2 = (float(v) for v in diagonal.groups())
    assert (x1, y1, x2, y2) == (LEFT, SQUARE_HEIGHT - BOTTOM, WIDTH - RIGHT, TOP)
    circles = re.findall(r'<circle cx="(.*?)" cy="(.*?)"', picture)
    assert len(circles) == 3
    for x, y in circles:
        along = (float(x) - x1) / (x2 - x1)
        assert float(y) == pytest.approx(y1 + along * (y2 - y1), abs=0.2)


def test_a_bin_without_positives_can_be_drawn_on_a_logarithmic_axis() -> None:
    bins = [ReliabilityBin(0.001, 0.0, Interval(0.0, 0.004), 900, 0),
            ReliabilityBin(0.1, 0.12, Interval(0.1, 0.14), 900, 108)]
    assert "0 of 900 clicks" in reliability_chart("t", {"model": bins, "reference": []}, "clicks")


def test_curves_are_thinned_and_the_last_is_strong() -> None:
    points = [(float(n), 0.6 + 1 / (n + 1)) for n in range(5000)]
    picture = curve_chart("t", {"a": points[:100], "b": points}, "loss")
    lines = re.findall(r'<polyline class="(.*?)" points="(.*?)"', picture)
    assert [kind.strip() for kind, _ in lines] == ["curve", "curve last"]
    assert all(len(path.split()) <= 120 for _, path in lines)


def test_differences_lie_about_zero() -> None:
    picture = difference_chart("t", {"up": Mark(0.01, 0.0, 0.02, ""),
                                     "down": Mark(-0.01, None, None, "")}, "gap")
    zero = re.search(r'class="zero" x1="(.*?)"', picture)
    up, down = (float(x) for x in re.findall(r'<circle cx="(.*?)"', picture))
    assert zero is not None
    assert up - float(zero.group(1)) == pytest.approx(float(zero.group(1)) - down, abs=0.2)


def test_nothing_to_draw_draws_nothing() -> None:
    assert reliability_chart("t", {"model": [], "reference": []}, "clicks") == ""
    assert curve_chart("t", {"a": [(1.0, 0.5)]}, "loss") == ""
    assert difference_chart("t", {}, "gap") == ""


def test_titles_are_escaped() -> None:
    picture = difference_chart('a "b" <c>', {"x": Mark(1.0, None, None, "1 < 2")}, "gap")
    assert "a &quot;b&quot; &lt;c&gt;" in picture and "1 &lt; 2" in picture
