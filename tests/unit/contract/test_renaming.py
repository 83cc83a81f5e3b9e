"""Columns by other names: a name that nothing reads is refused with the one that may be meant."""

import pytest

from esmm_dist.contract.errors import InputError
from tests.unit.contract.conftest import LoadText


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        (["logs.impressions.columns={event_tme: shown_at}"],
         "logs.impressions.columns names 'event_tme', which nothing reads: "
         "did you mean 'event_time'?"),
        (["logs.clicks.columns={clicked_at: event_time}"],
         "logs.clicks.columns names 'clicked_at', which nothing reads: our name comes first, "
         "write {event_time: clicked_at}"),
        (["logs.clicks.columns={user_id: uid}"],
         "known are click_id, event_time, impression_id; leave out"),
        (["logs.conversions.columns={revenue: paid}"], "'revenue', which nothing reads"),
        (["logs.conversions.columns={order_id: order}"], "'order_id', which nothing reads"),
        (["logs.snapshots=[{name: users, path: users, key: user_id, columns: {city: town}}]"],
         "logs.snapshots.users.columns names 'city', which nothing reads"),
        (["score.impressions={path: shown, columns: {evnt_time: shown_at}}"],
         "score.impressions.columns names 'evnt_time'"),
    ],
)
def test_a_name_that_nothing_reads_is_refused(
    load_text: LoadText, overrides: list[str], reason: str
) -> None:
    with pytest.raises(InputError) as caught:
        load_text({}, *overrides)
    assert reason in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "overrides",
    [
        ["logs.impressions.columns={impression_id: i, event_time: t, user_id: u, tags: g, seen: s, "
         "counts: c, watched: w, item: k, who: h}", "features.age.time=seen",
         "features.tags.weights=counts", "logs.impressions.outcomes=[watched]",
         "logs.clicks.attribute_by=keys", "logs.clicks.keys=[item]", "samples.group_key=who",
         "logs.clicks.columns={item: k}"],
        ["logs.clicks.columns={click_id: c, impression_id: i, who: w}",
         "logs.conversions.columns={type: kind, click_id: c, worth: w, order: o}",
         "logs.clicks.bots={key: who, max_clicks: 9, interval_seconds: 60}",
         "logs.conversions.value=worth", "logs.conversions.conversion_id=order"],
        ["logs.conversions.attribute_by=keys", "logs.conversions.keys=[who]",
         "logs.clicks.columns={who: w}", "logs.conversions.columns={who: v}"],
        ["logs.impressions.columns={who: w, request: r}", "features.city.source=users",
         "score.keys=[request]", "logs.snapshots=[{name: users, path: users, key: who, "
         "columns: {who: w, event_time: since, city: town}}]"],
        ["score.impressions={path: shown, columns: {user_id: u, request: r}}",
         "score.keys=[request]"],
    ],
    ids=["impressions", "events", "keys", "snapshots", "scores"],
)
def test_whatever_is_read_may_have_another_name(
    load_text: LoadText, overrides: list[str]
) -> None:
    load_text({}, *overrides)
