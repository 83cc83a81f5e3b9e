"""The report shows what was found, in HTML that stands alone and in JSON."""

import json
from datetime import UTC, date, datetime, timedelta
from html.parser import HTMLParser

import pytest

from esmm_dist.contract.config import load_config
from esmm_dist.contract.encodings import Encodings
from esmm_dist.contract.expectations import Quality
from esmm_dist.contract.manifest import Day
from esmm_dist.contract.profile import DELAY_EDGES_S, ColumnProfile, DayProfile
from esmm_dist.quality.figures import figures_of
from esmm_dist.quality.report import Findings, as_html, as_json, key_of_id
from esmm_dist.quality.verdicts import verdicts

FIRST = date(2026, 3, 1)
NOW = datetime(2026, 3, 9, tzinfo=UTC)
ENCODINGS = Encodings(vocabularies={"tab": ("home <b>", "search")},
                      boundaries={"video_duration_ms": (1000.0, 60000.0)})


@pytest.fixture
def found() -> Findings:
    quality = Quality.model_validate({"expectations": [
        {"name": "users stay", "metric": "psi", "feature": "tab", "max": 0.1},
        {"name": "some rows", "metric": "num_rows", "min": 1},
    ]})
    config = load_config().model_copy(update={"quality": quality})
    profiles = [
        DayProfile(FIRST + timedelta(days=n), 100 * n + 100, 10, 2, {
            "group_id": ColumnProfile(100, 100, 0, 0, 90, {-5: 3}),
            "tab": ColumnProfile(100, 90, 5, 5, 2, {2: 80 - 70 * n, 3: 10 + 70 * n}),
        }, {"click_delay_s": (1,) * (len(DELAY_EDGES_S) + 1)})
        for n in range(3)
    ]
    days = [
        Day(day=p.day, build_id="b", built_at=NOW, as_of=None, files=(), num_rows=p.num_rows,
            num_clicks=p.num_clicks, num_conversions=p.num_conversions, first_event_time=NOW,
            last_event_time=NOW, counters={"impressions_in": p.num_rows + 7})
        for p in profiles
    ]
    figures = figures_of(profiles, {day.day: day.counters for day in days}, 7)
    judged = verdicts(quality.expectations, figures, ["tab"])
    return Findings(config, 12, NOW, days, profiles, figures, judged, ENCODINGS)


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "br", "line", "circle", "rect", "polyline"):
            self.open.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("line", "circle", "rect", "polyline"):
            assert self.open.pop() == tag


def test_the_page_is_whole_and_needs_nothing_from_outside(found: Findings) -> None:
    text = as_html(found)
    page = _Page()
    page.feed(text)
    assert page.open == [] and page.links == []
    assert "1 of 2 expectations do not hold" in text and "users stay" in text
    assert "home &lt;b&gt;" in text and "home <b>" not in text
    for title in ("Samples by day", "CTR by day", "CVR by day", "Share of clicks and conversions"):
        assert f'aria-label="{title}' in text


def test_the_json_holds_every_figure(found: Findings) -> None:
    report = json.loads(as_json(found))
    assert (report["manifest"], list(report["days"])) == (12, [str(d.day) for d in found.days])
    last = report["days"]["2026-03-03"]
    assert (last["num_rows"], last["ctr"], last["cvr"]) == (300, 10 / 300, 0.2)
    assert last["columns"]["tab"]["psi"] == found.figures[-1].columns["tab"].psi
    assert last["columns"]["tab"]["top"][0] == {
        "id": 3, "key": "search", "num_values": 150, "share": 1.5}
    assert [e["holds"] for e in report["expectations"]] == [None, False, False, True, True, True]


def test_an_id_is_told_by_what_it_stands_for(found: Findings) -> None:
    feature = {f.name: f for f in found.config.features}
    assert key_of_id(feature["tab"], 3, ENCODINGS) == "search"
    assert key_of_id(feature["user_id"], 3, ENCODINGS) == key_of_id(None, 3, ENCODINGS) == "#3"
    duration = feature["video_duration_ms"]
    assert [key_of_id(duration, id_, ENCODINGS) for id_ in (1, 2, 3)] == [
        "below 1000", "1000 to 60000", "60000 and more"]
