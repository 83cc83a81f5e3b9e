"""The report holds what it promises, in one file that needs nothing else."""

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from esmm_dist.contract.config import parse_config
from esmm_dist.contract.manifest import Day
from esmm_dist.evaluation.report import CurvePoint, Evidence, render_report
from esmm_dist.evaluation.scorecard import make_scorecard
from tests.factories.predictions import random_predictions
from tests.factories.written_samples import small_document
from tests.unit.evaluation.test_scorecard import NAMES, run_record

NOTE = 'Likes & "follows", <not> purchases.'


def built_day(day: date, num_rows: int, num_dropped: int) -> Day:
    noon = datetime(2024, 1, 1, tzinfo=UTC)
    return Day(
        day=day, build_id="b", built_at=noon, as_of=None, files=(), num_rows=num_rows,
        num_clicks=num_rows // 2, num_conversions=num_rows // 50, first_event_time=noon,
        last_event_time=noon,
        counters={"impressions_in": num_rows + num_dropped,
                  "impressions_repeated": num_dropped, "clicks_without_impression": 3,
                  "clicks_null_id": 0},
    )


def curve(num_points: int) -> list[CurvePoint]:
    rng = np.random.default_rng(0)
    losses = 0.6 + np.exp(-np.arange(num_points) / 3) + rng.normal(0, 0.01, num_points)
    return [CurvePoint(100 * (n + 1), {"loss": v * 1.1, "ctr_loss": v, "ctcvr_loss": v / 10}, 12e3)
            for n, v in enumerate(losses)]


def evidence(
    tmp_path: Path, curves: dict[str, Sequence[CurvePoint]], conversion_logit: float = -1.0
) -> Evidence:
    document = small_document(tmp_path, num_test_days=2) | {"note": NOTE}
    model, reference = (
        random_predictions(num_rows=2000, noise=noise, conversion_logit=conversion_logit)
        for noise in (0.2, 1.0)
    )
    run = run_record().model_copy(update={"note": NOTE, "commit": "0123abc"})
    days = [built_day(date(2024, 1, 1) + timedelta(days=n), 1000 + n, 17 * n) for n in range(4)]
    return Evidence(parse_config(document, "small"), make_scorecard(run, model, reference), days,
                    curves)


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    return evidence(tmp_path_factory.mktemp("report"), {"2024-01-03": curve(300)})


@pytest.fixture(scope="module")
def html(shown: Evidence) -> str:
    return render_report(shown)


def test_every_metric_stands_there_with_its_value_and_interval(
    html: str, shown: Evidence
) -> None:
    assert all(f"<code>{name}</code>" in html for name in NAMES)
    estimate = shown.scorecard.pooled.model["ctcvr_auc"]
    assert f"{estimate.value:.4f}" in html
    assert f"{estimate.low:.4f} to {estimate.high:.4f}" in html


def test_it_says_what_was_run(html: str) -> None:
    for text in ("ESMM", "logistic regression", "small", "manifest 1", "0123abc", "3 to 4 January",
                 "1 to 2 January 2024", "user_id", "24–12"):
        assert text in html, text


def test_it_says_by_which_rules_labels_came_about(html: str, shown: Evidence) -> None:
    samples = shown.config.samples
    assert f"up to {samples.click_window_hours} h after its impression" in html
    assert f"up to {samples.conversion_window_hours} h after its click" in html


def test_the_note_is_shown_as_text(html: str) -> None:
    assert "Likes &amp; &#34;follows&#34;, &lt;not&gt; purchases." in html


def test_the_funnel_counts_each_day_and_what_was_dropped(html: str) -> None:
    row = r'<tr[^>]*><th scope="row">([^<]*)</th><td class="text">(train|test|)</td>(.*?)</tr>'
    rows = re.findall(row, html)
    assert [(name, role) for name, role, _ in rows] == [
        ("2024-01-01", "train"), ("2024-01-02", "train"), ("2024-01-03", "test"),
        ("2024-01-04", "test"), ("all days", "")]
    cells = [re.findall(r"<td>([^<]*)</td>", rest) for _, _, rest in rows]
    assert cells[1] == ["1,001", "500", "50.0 %", "20", "4.00 %", "17"]
    assert cells[4] == ["4,006", "2,002", "50.0 %", "80", "4.00 %", "102"]
    assert "<dt>without impression</dt><dd>12</dd>" in html
    assert "<code>clicks_without_impression</code></th><td>12</td><td>3</td>" in html
    assert "<dt>null id</dt>" not in html and "<code>clicks_null_id</code>" in html


def test_it_needs_no_other_file(html: str) -> None:
    assert not re.search(r"https?:|//[a-z]|url\(|@import|<script|<link|<img|src=", html)


def test_every_picture_says_what_it_shows(html: str) -> None:
    pictures = re.findall(r"<svg[^>]*>", html)
    # Differences, three reliability diagrams, three metrics by day, two losses.
    assert len(pictures) == 9
    labels = [re.search(r'role="img" aria-label="([^"]+)"', picture) for picture in pictures]
    assert all(labels) and len({found.group(1) for found in labels if found}) == 9


def test_tags_are_balanced(html: str) -> None:
    class Checker(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.open_tags: list[str] = []

        def handle_starttag(self, tag: str, attrs: object) -> None:
            if tag != "meta":
                self.open_tags.append(tag)

        def handle_endtag(self, tag: str) -> None:
            assert self.open_tags.pop() == tag

    checker = Checker()
    checker.feed(html)
    assert checker.open_tags == []


def test_a_long_curve_costs_few_bytes(shown: Evidence, html: str) -> None:
    longer = Evidence(shown.config, shown.scorecard, shown.days, {"2024-01-03": curve(30_000)})
    assert len(render_report(longer)) < len(html) + 5_000
    assert len(html) < 120_000


def test_what_is_undefined_says_why(tmp_path: Path) -> None:
    """No conversion at all, and a run that left no curves."""
    html = render_report(evidence(tmp_path, {}, conversion_logit=-50.0))
    assert "one class only: 0 positives in 2,000 rows" in html
    assert "The run left no curves." in html
    assert "nan" not in re.sub(r"<style>.*?</style>", "", html, flags=re.S).lower().split()
