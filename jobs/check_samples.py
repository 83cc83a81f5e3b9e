"""Reads built days again, holds every file against what readers rely on, and reports their quality.

    spark-submit jobs/check_samples.py [--config FILE] [--days FIRST:LAST] [--report FOLDER]

Whatever is wrong, and every declared expectation that does not hold, is listed by name, and the job
ends with exit status 2.
"""

import sys
from collections.abc import Sequence
from datetime import date

from pyspark.sql import SparkSession

from esmm_dist.contract.command_line import config_from, config_parser, run_command
from esmm_dist.contract.errors import InputError
from esmm_dist.contract.folds import days_of
from esmm_dist.contract.manifest import Day, Manifest, report_path
from esmm_dist.contract.sections import Config
from esmm_dist.contract.settings import check_settings
from esmm_dist.quality.figures import figures_of
from esmm_dist.quality.report import Findings, as_html, as_json
from esmm_dist.quality.verdicts import verdicts
from esmm_dist.samples.files import Files
from esmm_dist.samples.inspection import inspect
from esmm_dist.samples.io import Store, now
from esmm_dist.samples.schedule import parse_days, text_of
from esmm_dist.samples.session import open_session
from esmm_dist.samples.terminal import findings_text, phase


def check_samples(argv: Sequence[str]) -> None:
    """Looks at the days asked for, and says what is wrong with them."""
    parser = config_parser(__doc__)
    parser.add_argument("--days", metavar="FIRST:LAST",
                        help="the days to check, or one day (default: those of samples.days that "
                             "are built)")
    parser.add_argument("--report", metavar="FOLDER",
                        help="where to write quality.html and quality.json (default: beside the "
                             "manifest, under its number)")
    arguments = parser.parse_args(argv)
    config = config_from(arguments)
    asked = days_of(parse_days(arguments.days)) if arguments.days else ()
    spark = open_session(f"{config.name}: check samples")
    try:
        check(spark, config, asked, arguments.report)
    finally:
        spark.stop()


def check(
    spark: SparkSession, config: Config, asked: Sequence[date], folder: str | None
) -> None:
    """Checks the days asked for (if none, those of samples.days that are built), writes their
    report, and prints where it lies.

    Raises:
        InputError: a day has not been built, an invariant or an expectation does not hold.
    """
    store = Store(spark, config.samples.path)
    manifest = store.published()
    check_settings(manifest, config, config.samples.path)
    found = _found(spark, store, manifest, config, asked)
    places = _write(spark, store, found, folder)
    print("\n".join(places))
    _demand(found, places)


def _found(
    spark: SparkSession, store: Store, manifest: Manifest, config: Config, asked: Sequence[date]
) -> Findings:
    """What the days hold, compared with those before them."""
    shown = manifest.select(asked, store.path) if asked else _built(manifest, config)
    num_trailing = config.quality.trailing_days
    before = [day for day in manifest.days if day.day < shown[0].day][-num_trailing:]
    days = [*before, *[day for day in manifest.days if shown[0].day <= day.day <= shown[-1].day]]
    num_bytes = sum(file.num_bytes for day in days for file in day.files)
    with phase(f"reading {text_of([day.day for day in days])}: {num_bytes:,} bytes"):
        inspection = inspect(spark, store, manifest, config, days)
    print(findings_text(inspection.findings))
    if inspection.findings:
        broken = sorted({finding.day for finding in inspection.findings})
        raise InputError(
            f"{store.path}/{manifest.path}: {text_of(broken)} cannot be trusted: rebuild with "
            f"jobs/build_samples.py --days {broken[0]}:{broken[-1]}"
        )
    figures = figures_of(
        inspection.profiles, {day.day: day.counters for day in days}, num_trailing
    )[len(before):]
    features = [feature.name for feature in config.features]
    return Findings(
        config, manifest.number, now(), days[len(before):], inspection.profiles[len(before):],
        figures, verdicts(config.quality.expectations, figures, features),
        store.encodings(manifest.encodings),
    )


def _built(manifest: Manifest, config: Config) -> Sequence[Day]:
    """The days that the config is about, as far as they are built."""
    wanted = config.samples.days
    days = [day for day in manifest.days if wanted.first <= day.day <= wanted.last]
    if not days:
        held = text_of([day.day for day in manifest.days])
        raise InputError(
            f"{config.samples.path}/{manifest.path}: no day of samples.days ({wanted.first} to "
            f"{wanted.last}) is built (there are {held}): build them, or name days by --days"
        )
    return days


def _write(
    spark: SparkSession, store: Store, found: Findings, folder: str | None
) -> tuple[str, str]:
    files = store.files if folder is None else Files(spark, folder)
    name = report_path(found.manifest) if folder is None else "quality"
    texts = {f"{name}.html": as_html(found), f"{name}.json": as_json(found)}
    for path, text in texts.items():
        files.write(path, text)
    html, json = (f"{files.root}/{path}" for path in texts)
    return html, json


def _demand(found: Findings, places: Sequence[str]) -> None:
    """Fails with the names of the expectations that do not hold."""
    broken = [verdict for verdict in found.verdicts if verdict.holds is False]
    for verdict in broken:
        print(verdict.text)
    if broken:
        names = list(dict.fromkeys(verdict.expectation.name for verdict in broken))
        raise InputError(
            f"{found.config.samples.path}: {len(names)} of the declared expectations do not hold "
            f"({'; '.join(names)}): look at {places[0]}, mend the logs and rebuild, or declare "
            "what is to be expected under quality.expectations"
        )


if __name__ == "__main__":
    sys.exit(run_command(check_samples, sys.argv[1:]))
