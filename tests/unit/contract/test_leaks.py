"""What a declaration alone shows of a leak, each refused by one line."""

from pathlib import Path

import pytest

from esmm_dist.contract.errors import InputError
from tests.unit.contract.conftest import LoadText

OUTCOMES = "logs.impressions.outcomes=[price]"


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        ([OUTCOMES], "is made of the column 'price', which logs.impressions.outcomes names"),
        (["logs.impressions.outcomes=[cost]", "logs.impressions.columns={price: cost}"],
         "the feature 'price' is made of the column 'cost', which logs.impressions.outcomes names"),
        (["logs.impressions.outcomes=[spent]", "logs.impressions.columns={spent: price}"],
         "'price' is made of the column 'price', which logs.impressions.outcomes names"),
        (["logs.impressions.outcomes=[counts]", "features.tags.weights=counts"],
         "'tags' is made of the column 'counts', which logs.impressions.outcomes names"),
        (["logs.impressions.outcomes=[who]",
          "logs.snapshots=[{name: users, path: users, key: who}]"],
         "the snapshot 'users' is looked up by the column 'who', which logs.impressions.outcomes"),
        (["logs.impressions.outcomes=[watched]", "logs.impressions.columns={who: watched}",
          "logs.snapshots=[{name: users, path: users, key: who}]"],
         "is looked up by the column 'watched', which logs.impressions.outcomes names"),
        (["features.city.name=event_time"],
         "made of the column 'event_time', the time of the impression itself"),
        (["logs.impressions.columns={event_time: city}"],
         "made of the column 'city', the time of the impression itself"),
        (["logs.clicks.columns={event_time: city}"],
         "made of the column 'city', the time of logs.clicks"),
        (["logs.conversions.columns={event_time: paid}", "logs.impressions.columns={age: paid}"],
         "the feature 'age' is made of the column 'paid', the time of logs.conversions"),
        (["logs.snapshots=[{name: users, path: users, key: user_id}]", "features.age.source=users",
          "features.age.time=seen"], "the feature 'age' has a time and a source"),
        (["logs.conversions.value=price"],
         "made of the column 'price', which logs.conversions.value names"),
        (["logs.conversions.value=worth", "logs.conversions.columns={worth: price}"],
         "made of the column 'price', which logs.conversions.value names"),
        (["logs.conversions.value=worth", "logs.impressions.columns={price: worth}"],
         "the feature 'price' is made of the column 'worth', which logs.conversions.value names"),
        (["logs.conversions.conversion_id=city"],
         "made of the column 'city', which logs.conversions.conversion_id names"),
        (["logs.conversions={path: v, types: [order], columns: {type: city}}"],
         "made of the column 'city', which holds the type of logs.conversions"),
        (["logs.conversions={path: v, types: [order]}", "features.city.name=type"],
         "made of the column 'type', which holds the type of logs.conversions"),
        (["logs.conversions.attribute_by=click_id", "features.city.name=click_id"],
         "made of the column 'click_id', the id of a click"),
        (["logs.conversions.attribute_by=click_id", "logs.clicks.columns={click_id: city}"],
         "made of the column 'city', the id of a click"),
    ],
)
def test_a_feature_of_an_outcome_or_of_an_events_time_is_refused(
    load_text: LoadText, overrides: list[str], reason: str
) -> None:
    with pytest.raises(InputError) as caught:
        load_text({}, *overrides)
    assert reason in str(caught.value) and "\n" not in str(caught.value)


def test_outcomes_and_times_that_no_feature_is_made_of_are_welcome(load_text: LoadText) -> None:
    config = load_text(
        {}, "logs.impressions.outcomes=[watch_time]", "features.age.time=seen_at",
        "logs.snapshots=[{name: items, path: items, key: item_id}]", "features.price.source=items",
    )
    assert config.logs.impressions.outcomes == ("watch_time",)


@pytest.mark.parametrize(
    ("place", "columns"),
    [("path: logs/impressions", ""), ("path: ./logs//impressions/", ""),
     ("path: logs/impressions/*", ""), ("path: logs/impressions/dt=2024-01-01", ""),
     ("path: logs/impressions", ", columns: {price: watched}"),
     ("table: Shop.Shown", "")],
)
def test_a_snapshot_that_is_the_impressions_log_shows_none_of_its_outcomes(
    load_text: LoadText, place: str, columns: str
) -> None:
    """Its latest row at or before an impression is the impression's own."""
    where = "table: shop.shown" if "table" in place else "path: logs/impressions"
    outcome = "watched" if columns else "price"
    log = f"logs.impressions={{{where}, outcomes: [{outcome}]}}"
    snapshot = f"logs.snapshots=[{{name: past, {place}, key: user_id{columns}}}]"
    plain = snapshot.replace(columns, "")
    load_text({}, log, plain, *([] if columns else [f"features.{outcome}.name=cost"]),
              "features.age.source=past")
    with pytest.raises(InputError) as caught:
        load_text({}, log, snapshot, "features.price.source=past")
    assert f"the feature 'price' is made of the column {outcome!r}" in str(caught.value)


@pytest.mark.parametrize("log", ["clicks", "conversions"])
def test_a_snapshot_that_is_a_log_of_events_is_refused(load_text: LoadText, log: str) -> None:
    with pytest.raises(InputError) as caught:
        load_text({}, f"logs.snapshots=[{{name: past, path: logs/{log}/, key: user_id}}]")
    assert f"the snapshot 'past' lies at logs/{log}/, where logs.{log} lies: " in str(caught.value)
    for place in (f"{Path.cwd()}/logs/{log}", f"file:{Path.cwd()}/logs/x/../{log}"):
        with pytest.raises(InputError, match=f"where logs.{log} lies: "):
            load_text({}, f"logs.snapshots=[{{name: past, path: '{place}', key: user_id}}]")


def test_a_snapshot_may_lie_beside_a_log(load_text: LoadText) -> None:
    for place in ("path: logs/clicks_by_user", "path: logs", "table: logs.clicks",
                  "path: 's3a://logs/clicks'", "path: /logs/clicks",
                  "format: jdbc, options: {dbtable: clicks}"):
        load_text({}, f"logs.snapshots=[{{name: past, {place}, key: user_id}}]", OUTCOMES,
                  "features.price.source=past")


def test_what_events_have_is_welcome_where_the_config_names_it_for_no_outcome(
    load_text: LoadText,
) -> None:
    load_text({}, "features.city.name=type")
    load_text({}, "features.city.name=click_id")
    load_text({}, "logs.conversions={path: v, types: [order], columns: {type: event}}",
              "features.city.name=type")


def test_a_snapshots_column_may_be_called_as_an_outcome_is(load_text: LoadText) -> None:
    load_text({}, OUTCOMES, "logs.snapshots=[{name: items, path: items, key: item_id}]",
              "features.price.source=items")


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        (["features.age.source=user"], "of the source 'user', which is no snapshot: did you mean"),
        (["features.age.source=zz"], "which is no snapshot: declare it under logs.snapshots"),
        (["logs.snapshots=[{name: users, path: a, key: k}, {name: Users, path: b, key: k}]"],
         "the snapshot 'Users' is declared twice"),
        (["logs.snapshots=[{name: us ers, path: a, key: k}]"], "'us ers' is no plain name"),
    ],
)
def test_sources_and_snapshots_are_named_once_and_declared(
    load_text: LoadText, overrides: list[str], reason: str
) -> None:
    declared = ["logs.snapshots=[{name: users, path: users, key: user_id}]"]
    with pytest.raises(InputError) as caught:
        load_text({}, *declared, *overrides)
    assert reason in str(caught.value)
