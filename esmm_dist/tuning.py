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
from esmm_dist.evaluation.comparison_document import COMMON_CTR_NET, Choice, TuningTrial
from esmm_dist.evaluation.metrics import auc
from esmm_dist.evaluation.predictions import Predictions
from esmm_dist.evaluation.tasks import Task, logs_of, metric_name, rows_of
from esmm_dist.model.method import options_of
from esmm_dist.trials import (
    Variant,
    method_of_role,
    predictions_of,
    train_and_predict_each,
    trial_config,
)

FOLDER = "tuning"


def chosen_trials(
    config: Config, roles: Sequence[str], folder: Path, world: World
) -> Mapping[str, Choice]:
    """What each method is to be trained with; nothing where the config asks for no tuning.

    Called by all ranks in step; trials that were done before are not done again.

    Args:
        roles: methods, and COMMON_CTR_NET, whose network is chosen by what it is there for, its CTR
            AUC.
        folder: of the comparison.

    Raises:
        InputError: the validation day has no conversion to choose by.
    """
    if config.tune is None:
        return {}
    before = before_validation_day(config)
    choices = {}
    variants = {(role, place): _variant(config, role, place) for role in roles
                for place in range(len(config.tune.learning_rates))}
    configs = {key: trial_config(before, variant, folder / FOLDER,
                                 f"{variant.method}-{variant.values}")
               for key, variant in variants.items()}
    failures = train_and_predict_each(configs.values(), world)
    own = [_value(key[0], of_trial, config) if world.rank == 0 and of_trial.name not in failures
           else ("", None) for key, of_trial in configs.items()]
    told = world.gather_objects(own, name="tuned")[0]
    assert isinstance(told, list)
    value_of_trial = dict(zip(configs, told))
    for role in roles:
        keys = [key for key in configs if key[0] == role]
        choices[role] = Choice(
            method=role, metric=max(value_of_trial[key][0] for key in keys),
            trials=tuple(TuningTrial(
                rates=config.tune.learning_rates[key[1]], options=dict(variants[key].options or {}),
                value=value_of_trial[key][1], failure=failures.get(configs[key].name),
            ) for key in keys),
        )
    return choices


def before_validation_day(config: Config) -> Config:
    """The same experiment a day earlier: trained up to the day before, tested on the day."""
    document, day = config.model_dump(mode="json"), config.train.days.last
    document["train"]["days"]["last"] = (day - timedelta(days=1)).isoformat()
    document["evaluate"] |= {"days": {"first": day.isoformat(), "last": day.isoformat()},
                             "retrain": "once"}
    return parse_config(document | {"tune": None}, "tune")


def _variant(config: Config, role: str, place: int) -> Variant:
    assert config.tune is not None
    method = method_of_role(role)
    return Variant(method, config.train.seed, config.tune.learning_rates[place],
                   config.tune.options_of_trial(options_of(method), place))


def _value(role: str, of_trial: Config, config: Config) -> tuple[str, float]:
    """What a trial is judged by, and its name."""
    predictions = predictions_of(of_trial)
    task = _judged_by(role, predictions)
    code_N = np.zeros(len(predictions), np.intp)
    value = auc(rows_of(task, predictions, code_N, code_N))
    if math.isnan(value):
        day = config.train.days.last
        raise InputError(f"tune: on the validation day, train.days.last = {day}, clicks and "
                         "conversions are too few to choose by: give it more rows")
    return metric_name(task, "auc"), value


def _judged_by(role: str, predictions: Predictions) -> Task:
    if role == COMMON_CTR_NET:
        return Task.CTR
    return Task.CTCVR if logs_of(Task.CVR, predictions) is None else Task.CVR
