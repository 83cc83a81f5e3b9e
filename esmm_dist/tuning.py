"""Chooses each method's learning rates on a validation day, every method by as many trials.

Test days have no say: the validation day is the last of train.days.
"""

import math
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path

import numpy as np

from esmm_dist.contract.config import parse_config
from esmm_dist.contract.errors import InputError
from esmm_dist.contract.protocols import LearningRates
from esmm_dist.contract.sections import Config
from esmm_dist.contract.world import World
from esmm_dist.evaluation.comparison_document import Choice, TriedRates
from esmm_dist.evaluation.metrics import auc
from esmm_dist.evaluation.predictions import Predictions
from esmm_dist.evaluation.tasks import Task, logs_of, metric_name, rows_of
from esmm_dist.trials import Variant, predictions_of, train_and_predict_all, trial_config

FOLDER = "tuning"


def chosen_rates(
    config: Config, methods: Sequence[str], folder: Path, world: World
) -> Mapping[str, Choice]:
    """The learning rates of each method, those that the config gives where it asks for no tuning.

    Called by all ranks in step; trials that were done before are not done again.

    Args:
        folder: of the comparison.

    Raises:
        InputError: the validation day has no conversion to choose by.
    """
    if config.tune is None:
        return {}
    before = _before_validation_day(config)
    configs = {
        (method, place): trial_config(before, Variant(method, config.train.seed, rates),
                                      folder / FOLDER, _name(method, rates))
        for method in methods for place, rates in enumerate(config.tune.learning_rates)
    }
    train_and_predict_all(configs, world)
    own = [_value(predictions_of(of_trial), config) if world.rank == 0 else ("", 0.0)
           for of_trial in configs.values()]
    told = world.gather_objects(own, name="tuned")[0]
    assert isinstance(told, list)
    value_of_trial = dict(zip(configs, told))
    return {
        method: Choice(
            method=method, metric=value_of_trial[method, 0][0],
            trials=tuple(TriedRates(rates=rates, value=value_of_trial[method, place][1])
                         for place, rates in enumerate(config.tune.learning_rates)),
        ) for method in methods
    }


def _before_validation_day(config: Config) -> Config:
    """The same experiment a day earlier: trained up to the day before, tested on the day."""
    document, day = config.model_dump(mode="json"), config.train.days.last
    document["train"]["days"]["last"] = (day - timedelta(days=1)).isoformat()
    document["evaluate"] |= {"days": {"first": day.isoformat(), "last": day.isoformat()},
                             "retrain": "once"}
    return parse_config(document | {"tune": None}, "tune")


def _name(method: str, rates: LearningRates) -> str:
    return f"{method}-towers{rates.towers:g}-tables{rates.tables:g}"


def _value(predictions: Predictions, config: Config) -> tuple[str, float]:
    """What a trial is judged by, and its name."""
    task = Task.CVR if logs_of(Task.CVR, predictions) is not None else Task.CTCVR
    code_N = np.zeros(len(predictions), np.intp)
    value = auc(rows_of(task, predictions, code_N, code_N))
    if math.isnan(value):
        day = config.train.days.last
        raise InputError(f"tune: on the validation day, train.days.last = {day}, clicks and "
                         "conversions are too few to choose by: give it more rows")
    return metric_name(task, "auc"), value
