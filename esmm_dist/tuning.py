"""Chooses each method's learning rates and options on a validation day, all by as many trials.

Test days have no say: the validation day is the last of train.days.
"""

import math
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path

import numpy as np

from esmm_dist.contract.config import parse_config
from esmm_dist.contract.errors import InputError
from esmm_dist.contract.sections import Config
from esmm_dist.contract.world import World
from esmm_dist.evaluation.comparison_document import Choice, TuningTrial
from esmm_dist.evaluation.metrics import auc
from esmm_dist.evaluation.predictions import Predictions
from esmm_dist.evaluation.tasks import Task, logs_of, metric_name, rows_of
from esmm_dist.model.method import options_of
from esmm_dist.trials import Variant, predictions_of, train_and_predict_all, trial_config

FOLDER = "tuning"


def chosen_trials(
    config: Config, methods: Sequence[str], folder: Path, world: World
) -> Mapping[str, Choice]:
    """What each method is to be trained with; nothing where the config asks for no tuning.

    Called by all ranks in step; trials that were done before are not done again.

    Args:
        folder: of the comparison.

    Raises:
        InputError: the validation day has no conversion to choose by.
    """
    if config.tune is None:
        return {}
    before = _before_validation_day(config)
    variants = {
        (method, place): Variant(method, config.train.seed, rates,
                                 config.tune.options_of_trial(options_of(method), place))
        for method in methods for place, rates in enumerate(config.tune.learning_rates)
    }
    configs = {place: trial_config(before, variant, folder / FOLDER, _name(variant))
               for place, variant in variants.items()}
    train_and_predict_all(configs, world)
    own = [_value(predictions_of(of_trial), config) if world.rank == 0 else ("", 0.0)
           for of_trial in configs.values()]
    told = world.gather_objects(own, name="tuned")[0]
    assert isinstance(told, list)
    value_of_trial = dict(zip(configs, told))
    return {
        method: Choice(
            method=method, metric=value_of_trial[method, 0][0],
            trials=tuple(
                TuningTrial(rates=rates, options=dict(variants[method, place].options or {}),
                            value=value_of_trial[method, place][1])
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


def _name(variant: Variant) -> str:
    assert variant.rates is not None
    tried = {"towers": variant.rates.towers, "tables": variant.rates.tables,
             **(variant.options or {})}
    return "-".join([variant.method, *(f"{name}{value:g}" for name, value in tried.items())])


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
