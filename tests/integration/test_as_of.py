"""A build as of an instant gives what a build made at that instant gave, byte for byte."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest

from esmm_dist.contract.command_line import EXIT_BAD_INPUT, run_command
from esmm_dist.contract.errors import InputError
from esmm_dist.contract.features import BucketEncoding
from esmm_dist.contract.manifest import Day, Manifest, read_manifest
from esmm_dist.contract.multiplicity import Multiplicity
from esmm_dist.contract.sections import Config
from esmm_dist.reader.plan import TrainPlan
from esmm_dist.reader.samples import SampleReader
from tests.factories.raw_logs import Logs, config_of, dirty_logs, ingested, visible_rows, write_logs
from tests.oracles.join import join
from tests.oracles.log_rows import Row, Rules, start_of

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.spark

HOURS = timedelta(hours=1)
ZONE = ZoneInfo("Asia/Shanghai")
FIRST, SECOND = date(2026, 3, 1), date(2026, 3, 2)
# Inside the second day: its labels and some of the first day's are still to ripen.
AS_OF = start_of(SECOND, ZONE) + 10 * HOURS
RULES = Rules(
    ZONE, 6 * HOURS, 6 * HOURS, ("order",), as_of=AS_OF, ingested=("clicks", "conversions")
)


def config_in(folder: Path, rules: Rules) -> Config:
    """A config that learns quantiles, which then have to be learned from visible rows alone."""
    config = config_of(folder, True, rules, FIRST, SECOND)
    # So many that each value has a bucket of its own.
    learned = BucketEncoding(num_quantiles=1024)
    feature = config.features[0].model_copy(update={"encode": learned})
    return config.model_copy(update={"features": (feature,)})


def build(spark: "SparkSession", folder: Path, logs: Logs) -> Manifest:
    from esmm_dist.samples.build import Builder

    write_logs(logs, folder, is_partitioned=True, num_files=2, seed=1)
    return Builder(spark, config_in(folder, RULES), refit=False).build([FIRST, SECOND])


def contents(folder: Path, day: Day) -> list[bytes]:
    return [(folder / "samples" / file.path).read_bytes() for file in day.files]


def skewed(logs: Logs) -> Logs:
    """Values grow through the day, so that quantiles tell when it was cut off."""
    def grown(row: Row) -> Row:
        hour = row.event_time.astimezone(ZONE).hour if row.event_time else 0
        return replace(row, content=(row.content[0] + 4.0 * hour, row.content[1]))

    return logs._replace(impressions=[grown(row) for row in logs.impressions])


def test_a_build_as_of_an_instant_equals_one_of_the_logs_as_they_lay_then(
    spark: "SparkSession", tmp_path: Path
) -> None:
    dirty = dirty_logs(7, 800, [FIRST, SECOND], RULES, is_partitioned=True)
    # What became known in that very instant is seen.
    just = Row("just", AS_OF, SECOND, "order")
    dirty = Logs(*[[*rows, just] for rows in dirty])
    logs = skewed(ingested(dirty, 7, RULES.ingested))
    lay_then = visible_rows(logs, AS_OF)
    assert all(len(then) < len(now) for then, now in zip(lay_then, logs))
    found = build(spark, tmp_path / "now", logs)
    wanted = build(spark, tmp_path / "then", lay_then)
    assert found.encodings.content_hash == wanted.encodings.content_hash
    for now, then in zip(found.days, wanted.days):
        assert contents(tmp_path / "now", now) == contents(tmp_path / "then", then)
        assert (now.counters, now.as_of) == (then.counters, AS_OF)
        assert now.known_by == {
            "impressions": "event_time", "clicks": "ingest_time", "conversions": "ingest_time"
        }
        assert now.counters["samples_immature"] > 0
        assert Counter(now.counters) == join(now.day, *logs, RULES).counters


@pytest.mark.parametrize(
    "rules, column, told",
    [
        (RULES._replace(as_of=datetime(2999, 1, 1, tzinfo=UTC)), "ingest_time", "in the future"),
        (RULES, "ingest_tim", "no column 'ingest_tim'; the nearest is 'ingest_time'"),
        (RULES._replace(as_of=None), "type", "'type' of logs.clicks.ingest_time is string"),
    ],
)
def test_what_cannot_be_gone_by_is_refused(
    spark: "SparkSession", tmp_path: Path, rules: Rules, column: str, told: str
) -> None:
    from esmm_dist.samples.build import Builder

    logs = dirty_logs(7, 10, [FIRST, SECOND], RULES, is_partitioned=True)
    write_logs(logs, tmp_path, is_partitioned=True, num_files=1, seed=1)
    config = config_of(tmp_path, True, rules, FIRST, SECOND)
    clicks = config.logs.clicks.model_copy(update={"ingest_time": column})
    logs_section = config.logs.model_copy(update={"clicks": clicks})
    with pytest.raises(InputError, match=told):
        Builder(spark, config.model_copy(update={"logs": logs_section}), refit=False)


def test_ripening_builds_what_is_new_or_was_immature_and_takes_up_what_came_late(
    spark: "SparkSession", tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    import jobs.build_samples as job

    monkeypatch.setattr(job, "open_session", lambda name: spark)
    monkeypatch.setattr(spark, "stop", lambda: None)
    noon = start_of(SECOND, ZONE) + 12 * HOURS
    end = start_of(SECOND, ZONE) + 24 * HOURS
    write_logs(
        Logs(
            [Row("a", noon - 24 * HOURS, FIRST), Row("b", noon, SECOND)],
            [Row("b", noon + HOURS, SECOND, ingest_time=end + HOURS)],
            [Row("b", noon + HOURS, SECOND, "order", ingest_time=end + HOURS)],
        ),
        tmp_path, is_partitioned=True, num_files=1, seed=1,
    )

    def told(as_of: datetime, days: str, flag: str = "--ripening", status: int = 0) -> str:
        config = config_of(tmp_path, True, RULES._replace(as_of=as_of), FIRST, SECOND)
        path = tmp_path / "config.yaml"  # JSON is YAML
        path.write_text(config.model_dump_json(exclude_none=True))
        capsys.readouterr()
        arguments = ["--config", str(path), "--days", days, *flag.split()]
        assert run_command(job.build_samples, arguments) == status
        out, err = capsys.readouterr()
        return out + err

    both = f"{FIRST}:{SECOND}"
    assert "not built yet: to be built" in told(end, both)
    before = read_manifest(tmp_path / "samples")
    assert [day.num_conversions for day in before.days] == [0, 0]
    text = told(end + 12 * HOURS, both)
    assert f"{FIRST}: final" in text and f"{SECOND}: immature" in text
    after = read_manifest(tmp_path / "samples")
    assert after.days[0] == before.days[0]
    assert after.days[1].num_conversions == 1
    assert after.days[1].counters["samples_immature"] == 0
    assert "nothing to build" in told(end + 99 * HOURS, both)
    # What was known before takes the place of what is there only if somebody says so.
    assert f"{SECOND} was built as of" in told(end, str(SECOND), "", status=EXIT_BAD_INPUT)
    assert read_manifest(tmp_path / "samples") == after
    told(end, str(SECOND), "--go-back --logs-changed")
    assert read_manifest(tmp_path / "samples").days[1].num_conversions == 0


def test_a_stream_of_fake_negatives_changes_no_sample_and_counts_its_rows(
    spark: "SparkSession", tmp_path: Path
) -> None:
    from esmm_dist.samples.build import Builder

    logs = dirty_logs(3, 300, [FIRST], RULES, is_partitioned=True)
    write_logs(logs, tmp_path, is_partitioned=True, num_files=1, seed=1)
    config = config_of(tmp_path, True, RULES._replace(as_of=None, ingested=()), FIRST, FIRST)
    samples = config.samples.model_copy(
        update={"label_stream": "fake_negative", "fake_negative_after_hours": 1.0}
    )
    config = config.model_copy(update={"samples": samples})
    (day,) = Builder(spark, config, refit=False).build([FIRST]).days
    num_fake = day.counters["samples_fake_negative"]
    assert 0 < num_fake < day.num_conversions
    assert day.num_rows == day.counters["impressions_out"] == sum(f.num_samples for f in day.files)
    assert sum(file.num_fake_negatives for file in day.files) == num_fake
    assert Counter(day.counters) - Counter(samples_fake_negative=num_fake) == join(
        FIRST, *logs, RULES._replace(as_of=None)
    ).counters

    manifest = read_manifest(samples.path)
    reader = SampleReader(samples.path, manifest, config.features, False, with_delays=True)
    everything = Multiplicity(fake_negatives=True)
    plan = TrainPlan.make(
        reader.files([FIRST]), batch_size=1, num_lanes=1, seed=0, epoch=0, num_ranks=1,
        multiplicity=everything,
    )
    with reader.train_batches(plan, rank=0) as batches:
        told = [b.delays.fake_negative_B.item() for b in batches if b.delays is not None]
    assert (len(told), sum(told)) == (day.num_rows + num_fake, num_fake)
    with reader.evaluation_batches([FIRST], 64, num_ranks=1, rank=0) as batches:
        assert sum(b.num_rows - b.num_padded for b in batches) == day.num_rows
