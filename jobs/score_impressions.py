"""Scores the impressions of some days with a published model: pCTR, pCVR and pCTCVR of every row.

    spark-submit jobs/score_impressions.py [--config FILE] [--set KEY=VALUE] [--days FIRST:LAST]
                                           [--bundle ALIAS|NAME|FOLDER]

Any table with the features' columns will do (`score.impressions`); no label is looked at. A day
that is scored again is replaced whole, or stays as it was: docs/serving.md.
"""

import sys
from collections.abc import Sequence
from datetime import date
from functools import partial
from pathlib import Path

from pyspark.sql import SparkSession

from esmm_dist.contract.bundle import CURRENT
from esmm_dist.contract.command_line import config_from, config_parser, run_command
from esmm_dist.contract.errors import InputError
from esmm_dist.contract.features import fingerprint
from esmm_dist.contract.folds import days_of
from esmm_dist.contract.sections import Config
from esmm_dist.contract.settings import differences, settings_of
from esmm_dist.contract.telling import tell
from esmm_dist.samples.schedule import parse_days
from esmm_dist.samples.session import open_session
from esmm_dist.scoring.days import ShippedModel, score_days
from esmm_dist.scoring.store import ScoresStore, scores_path
from esmm_dist.scoring.table import ScoringTable
from esmm_dist.serving.bundle import Bundle
from esmm_dist.serving.predictor import exported_model
from esmm_dist.serving.scorer import ArrowScorer
from esmm_dist.serving.store import store_of

# What a feature's value hangs on beside its declaration.
OF_VALUES = ("features", "logs.snapshots.")


def main(argv: Sequence[str]) -> None:
    """Scores the days asked for and says where the scores lie."""
    parser = config_parser(__doc__)
    parser.add_argument("--days", metavar="FIRST:LAST",
                        help="the days to score, or one day (default: evaluate.days)")
    parser.add_argument("--bundle", default=CURRENT, metavar="BUNDLE",
                        help="an alias, a bundle's name or the first letters of it, or its folder "
                             "(default: %(default)s)")
    arguments = parser.parse_args(argv)
    config = config_from(arguments)
    days = days_of(parse_days(arguments.days) if arguments.days else config.evaluate.days)
    bundle = store_of(config).open(arguments.bundle)
    check_declaration(bundle, config, arguments.config)
    model = shipped(bundle)
    spark = open_session(f"{config.name}: score impressions")
    try:
        score(spark, config, bundle, model, days)
    finally:
        spark.stop()


def score(
    spark: SparkSession, config: Config, bundle: Bundle, model: ShippedModel, days: Sequence[date]
) -> None:
    """Scores the days with a bundle's model, and prints where the scores lie.

    Raises:
        InputError: the table cannot be read, or has no rows of a day; nothing is published.
    """
    table = ScoringTable(spark, config, config.features, bundle.index.value_kinds)
    store = ScoresStore(spark, scores_path(config))
    manifest = score_days(spark, table, store, model, bundle.encodings, bundle.name, days)
    for day in manifest.days:
        if day.day in days:
            tell("scored", None, scored_day=day.day, num_rows=day.num_rows, bundle=day.bundle)
            print(f"{day.day}: {day.num_rows:,} rows scored by {day.bundle[:12]}")
    print(f"{store.path}/{manifest.path}")


def check_declaration(bundle: Bundle, config: Config, source: str) -> None:
    """Refuses a bundle for which the same row would have other features.

    Raises:
        InputError: names what differs.
    """
    trained, asked = (
        {key: value for key, value in settings_of(c).items() if key.startswith(OF_VALUES)}
        for c in (bundle.config, config)
    )
    found = differences(trained, asked)
    if found:
        raise InputError(
            f"{source}: {bundle.path.name[:12]} was trained with other features: "
            f"{'; '.join(found)}: score with the config it was trained with"
        )
    bundle.check_fingerprint(fingerprint(config.features), source)


def shipped(bundle: Bundle) -> ShippedModel:
    """What executors need of a bundle.

    Raises:
        InputError: the bundle holds no exported model.
    """
    path, index = exported_model(bundle)
    tables = () if index.tables is None else (path.parent / Path(index.tables).name,)
    return ShippedModel(
        files=(path, *tables), name=f"{bundle.name}.onnx", probabilities=index.probabilities,
        scorer=partial(ArrowScorer, inputs=index.inputs, probabilities=index.probabilities),
    )


if __name__ == "__main__":
    sys.exit(run_command(main, sys.argv[1:]))
