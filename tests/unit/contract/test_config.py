"""Configs: what they may say, and the one line that every mistake becomes."""

from datetime import date
from pathlib import Path

import pytest

from esmm_dist.contract.config import dump_config, load_config, parse_config
from esmm_dist.contract.errors import InputError
from esmm_dist.contract.features import HashEncoding
from esmm_dist.contract.sections import Config
from tests.unit.contract.conftest import MINIMAL, LoadText, mistake


def test_what_is_not_said_has_a_default(config: Config) -> None:
    assert config.train.batch_size == 4096
    assert config.model.hidden_units == (360, 200, 80)
    assert config.train.days.first == date(2024, 1, 1)
    assert isinstance(config.features[0].encode, HashEncoding)


# ---------------------------------------------------------------------------------------------
# Keys
# ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("\ntrain:", "\ntrian:", "unknown key trian: did you mean train?"),
        ("evaluate:\n", "evaluate:\n  retrian: once\n",
         "unknown key evaluate.retrian: did you mean retrain?"),
        ("  fit_days:", "  fitdays:", "unknown key samples.fitdays: did you mean fit_days?"),
        ("max_length", "max_lenght", "unknown key features.tags.max_lenght: did you mean max_len"),
        ("{hash_size: 1000}", "{hash_siez: 1000}",
         "unknown key features.user_id.encode.hash_siez: did you mean hash_size?"),
        ("{min_count: 2}", "{mincount: 2}",
         "unknown key features.city.encode.mincount: did you mean min_count?"),
        ("{num_quantiles: 4}", "{num_quantile: 4}",
         "unknown key features.price.encode.num_quantile: did you mean num_quantiles?"),
        ("{min_count: 2}", "{min_count: 2, zzz: 1}",
         "unknown key features.city.encode.zzz: known here are min_count"),
        ("name: user_id, group", "name: user_id, gruop",
         "unknown key features.user_id.gruop: did you mean group?"),
        ("clicks: {path", "clicks: {pth", "unknown key logs.clicks.pth: did you mean path?"),
    ],
)
def test_a_typo_names_file_key_and_nearest_key(
    load_text: LoadText, tmp_path: Path, old: str, new: str, expected: str
) -> None:
    message = mistake(load_text, {old: new})
    assert message.startswith(f"{tmp_path}/spoilt.yaml: {expected}")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("name: minimal\n", "", "the key name is missing"),
        ("name: user_id, ", "", "the key features.0.name is missing"),
        ("kind: categorical, encode: {min", "encode: {min",
         "the key features.city.kind is missing"),
        (", encode: {hash_size: 1000}", "", "the key features.user_id.encode is missing"),
        ("days: {first: 2024-01-04, last: 2024-01-04}", "days: {first: 2024-01-04}",
         "the key evaluate.days.last is missing"),
    ],
)
def test_a_missing_key_is_named(load_text: LoadText, old: str, new: str, expected: str) -> None:
    assert f": {expected}" in mistake(load_text, {old: new})


def test_further_mistakes_are_counted(load_text: LoadText) -> None:
    replacing = {"name: minimal": "name: 1", "path: samples": "path: 2"}
    assert mistake(load_text, replacing).endswith("(and 1 more)")


# ---------------------------------------------------------------------------------------------
# Values
# ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("train.batch_size=0", "train.batch_size = 0: Input should be greater than 0"),
        ("samples.path='a[1]'", "samples: path = a[1] holds [ ], which Spark takes for a pattern"),
        ("samples.shuffle_seed=-1", "samples.shuffle_seed = -1: Input should be greater than or"),
        ("samples.shuffle_seed=9223372036854775808", "samples.shuffle_seed = 9223372036854775808"),
        ("train.batch_size=true", "train.batch_size = True: Input should be a valid integer"),
        ("train.batch_size='7'", "train.batch_size = '7': Input should be a valid integer"),
        ("train.batch_size=NO", "train.batch_size = 'NO': Input should be a valid integer"),
        ("train.batch_size=12:30", "train.batch_size = '12:30': Input should be a valid integer"),
        ("train.towers.learning_rate=.inf", "train.towers.learning_rate = inf"),
        ("train.towers.learning_rate=.nan", "train.towers.learning_rate = nan"),
        ("train.towers.learning_rate=-1e-3", "train.towers.learning_rate = -0.001"),
        ("train.towers.name=adm", "train.towers.name = 'adm': Input should be 'adam', 'adagrad'"),
        ("evaluate.retrain=NO", "evaluate.retrain = 'NO': Input should be 'once' or 'daily'"),
        ("train.days.last=2024-02-30", "train.days.last = '2024-02-30': Input should be a valid"),
        ("train.days.last=20240103", "train.days.last = 20240103: Input should be a valid date"),
        ("train.days.last=2023-12-31", "the last day 2023-12-31 lies before the first, 2024-01-01"),
        ("logs.day_timezone=Mars", "'Mars' is no time zone name such as UTC or Asia/Shanghai"),
        ("logs.clicks.options={header: true}", "logs.clicks.options.header = True"),
        ("logs.clicks.attribute_by=keys", "logs.clicks.attribute_by = keys needs logs.clicks.keys"),
        ("logs.clicks.keys=[user_id]", "logs.clicks.keys = ['user_id'] is not looked at: set"),
        ("logs.clicks={path: c, attribute_by: keys, keys: [a, b, a]}", "stands there twice"),
        ("logs.clicks.credit=first_impression",
         "logs.clicks.credit = first_impression needs attribute_by: keys"),
        ("logs.clicks.bots={key: user_id, max_clicks: 0, interval_seconds: 60}",
         "logs.clicks.bots.max_clicks = 0"),
        ("logs.clicks.bots={key: user_id, max_clicks: 5, interval_seconds: 86401}",
         "logs.clicks.bots.interval_seconds = 86401"),
        ("logs.conversions.repeat_hours=99",
         "logs.conversions.repeat_hours = 99.0 is not looked at: name the column of conversion_id"),
        ("logs.conversions.repeat_hours=1e9", "logs.conversions.repeat_hours = 1000000000.0"),
        ("logs.snapshots=[{name: s, path: p, key: k, max_age_hours: .inf}]", "max_age_hours = inf"),
        ("logs.clicks.double_click_seconds=0", "logs.clicks.double_click_seconds = 0"),
        ("logs.conversions.attribute_by=key",
         "logs.conversions.attribute_by = 'key': Input should be 'impression_id', 'click_id' or"),
        ("logs.conversions={path: v, credit: first_click, attribute_by: click_id}",
         "logs.conversions.credit = first_click needs attribute_by: keys; by click_id any click"),
        ("logs.conversions={path: v, without_click: imply_click, attribute_by: click_id}",
         "logs.conversions.without_click = imply_click needs attribute_by: impression_id"),
        ("logs={impressions: {path: i}, clicks: {path: c, bots: {key: user_id, max_clicks: 5, "
         "interval_seconds: 60}}, conversions: {path: v, without_click: imply_click}}",
         "logs: logs.conversions.without_click = imply_click would bring back clicks that "
         "logs.clicks.bots drops"),
        ("logs.conversions.types=[like, order, like]", "logs.conversions.types names 'like' twice"),
        ("samples.fake_negative_after_hours=2",
         "fake_negative_after_hours = 2.0 is not looked at: set label_stream: fake_negative"),
        ("logs.clicks={table: shop.clicks, path: c}",
         "logs.clicks: table = shop.clicks and path = c: a table knows where it lies and how"),
        ("logs.clicks={table: shop.clicks, format: orc}",
         "logs.clicks: table = shop.clicks and format = orc: a table knows where it lies and how"),
        ("logs.clicks={format: csv}", "logs.clicks: give the path of its files, or a table"),
        ("logs.clicks={partition: dt}", "logs.clicks: give the path of its files, or a table"),
        ("logs.max_clock_skew_seconds=-1", "logs.max_clock_skew_seconds = -1"),
        ("logs.max_clock_skew_seconds=3601", "logs.max_clock_skew_seconds = 3601"),
        ("logs.conversions.without_click=imply",
         "logs.conversions.without_click = 'imply': Input should be 'drop' or 'imply_click'"),
        ("train=5", "train = 5: Input should be an object"),
        ("features=[]", "features = []"),
        ("features.user_id.kind=catgorical",
         "features.user_id.kind = 'catgorical': known are categorical, multi_valued, numeric"),
        ("features.user_id.encode=5",
         "features.user_id.encode = 5: declare only one of hash_size (and seed) and min_count"),
        ("features.user_id.encode={}",
         "features.user_id.encode: declare only one of hash_size (and seed) and min_count"),
        ("features.city.encode.min_count=0", "features.city.encode.min_count = 0"),
        ("features.user_id.encode.hash_size=2147483648", "hash_size = 2147483648"),
        ("model.hidden_units=[true, 8]", "model.hidden_units.0 = True"),
        ("name=../run", "name = '../run': String should match pattern"),
        ("evaluate.num_bootstraps=99", "evaluate.num_bootstraps = 99"),
        ("samples.rows_per_file=1048577", "samples.rows_per_file = 1048577"),
        ("train.num_lanes=99999999999", "train.num_lanes = 99999999999: Input should be less"),
        ("train.num_epochs=1000000000", "train.num_epochs = 1000000000: Input should be less"),
        ("model.embedding_dim=100000000", "model.embedding_dim = 100000000: Input should be less"),
        ("model.hidden_units=[8, 100000000]", "model.hidden_units.1 = 100000000: Input should be"),
        ("evaluate.batch_size=1000000000", "evaluate.batch_size = 1000000000: Input should be"),
        ("evaluate.days.last=9999-12-31", "2024-01-04 to 9999-12-31 are 2,913,171 days: at most"),
        ("train.days.first=2001-01-01", "2001-01-01 to 2024-01-03 are 8,403 days: at most 4,000"),
        ("features.user_id.encode={hash_size: 9, min_count: 2}",
         "features.user_id.encode: declare only one of hash_size (and seed) and min_count"),
        ("features.city.encode.hash_size=9", "features.city.encode: declare only one of hash_size"),
    ],
)
def test_a_wrong_value_is_named_with_its_key_and_where_it_came_from(
    load_text: LoadText, override: str, expected: str
) -> None:
    message = mistake(load_text, {}, override)
    assert f"spoilt.yaml --set {override}: " in message
    assert expected in message


@pytest.mark.parametrize(
    ("source", "place"),
    [("{path: logs/c}", "logs/c"), ("{table: shop.clicks}", "shop.clicks"),
     ("{format: jdbc, options: {dbtable: clicks}}", "jdbc")],
)
def test_a_log_lies_at_a_path_in_a_catalog_or_where_its_format_says(
    load_text: LoadText, source: str, place: str
) -> None:
    assert load_text({}, f"logs.clicks={source}").logs.clicks.place == place


@pytest.mark.parametrize(
    ("text", "learning_rate"),
    [("1e-3", 1e-3), ("1E-3", 1e-3), ("1e+0", 1.0), (".5", 0.5), ("1.", 1.0), ("2", 2.0)],
)
def test_numbers_are_read_as_numbers(load_text: LoadText, text: str, learning_rate: float) -> None:
    config = load_text({}, f"train.towers.learning_rate={text}")
    assert config.train.towers.learning_rate == learning_rate


def test_words_that_look_like_other_types_stay_words(load_text: LoadText) -> None:
    config = load_text({
        "conversions: {path: logs/conversions}":
        "conversions: {path: NO, types: [NO, on, y, 12:30, 2024-01-01, '7'], options: {since: "
        "2024-01-01}}",
    })
    conversions = config.logs.conversions
    assert conversions.path == "NO"
    assert conversions.types == ("NO", "on", "y", "12:30", "2024-01-01", "7")
    assert conversions.options == {"since": "2024-01-01"}


def test_training_and_test_days_together_are_bounded(load_text: LoadText) -> None:
    """A fold trained daily reaches from the first training day to the last test day."""
    far = ("evaluate.days.first=2034-12-01", "evaluate.days.last=2034-12-13")
    assert load_text({}, *far).evaluate.days.last == date(2034, 12, 13)
    assert "2024-01-01 to 2034-12-14 are 4,001 days: at most 4,000" in mistake(
        load_text, {}, far[0], "evaluate.days.last=2034-12-14")


def test_test_days_must_lie_after_training_days_and_fitted_days(load_text: LoadText) -> None:
    overlap = {"train:\n  days: {first: 2024-01-01, last: 2024-01-03}":
               "train:\n  days: {first: 2024-01-01, last: 2024-01-04}"}
    assert "test days must lie after the training days" in mistake(load_text, overlap)
    leak = {"fit_days: {first: 2024-01-01, last: 2024-01-03}":
            "fit_days: {first: 2024-01-01, last: 2024-01-04}"}
    assert "vocabularies must not see test days" in mistake(load_text, leak)


# ---------------------------------------------------------------------------------------------
# Writing
# ---------------------------------------------------------------------------------------------


def test_a_config_written_is_read_back_to_the_same(tmp_path: Path, load_text: LoadText) -> None:
    traps = ["1e3", "NO", "010", "0o17", "12:30", "2024-01-01", "true", "null", "~", "1_0", "ü"]
    config = load_text({}, f"logs.conversions.types={traps!r}", "train.towers.learning_rate=1e-7")
    path = tmp_path / "written.yaml"
    path.write_text(dump_config(config), encoding="utf-8")
    assert load_config(path) == config


def test_a_mapping_is_checked_like_a_file() -> None:
    with pytest.raises(InputError, match="^here: the key logs is missing"):
        parse_config({"name": "a"}, "here")


def test_every_config_that_is_shipped_loads() -> None:
    paths = sorted((Path(__file__).parents[3] / "conf").glob("*.yaml"))
    assert "kuairand.yaml" in {path.name for path in paths}
    for path in (*paths, MINIMAL):
        load_config(path)
