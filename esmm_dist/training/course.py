"""The course of a training: all that decides what each of its steps sees and does.

A checkpoint may be resumed, and stands for a fold, only on the course it was written on.
"""

import hashlib
import json

from esmm_dist.contract.folds import Fold
from esmm_dist.contract.sections import Config

# How often something is written down changes no step.
NOT_OF_THE_COURSE = {"steps_per_checkpoint", "num_checkpoints_kept", "steps_per_log"}


def digest_of_course(config: Config, fold: Fold) -> str:
    """Of the training days and the sections train and embedding; the model is the identity's."""
    train = config.train.model_dump(mode="json", exclude=NOT_OF_THE_COURSE)
    if train["mixed_precision"] == "none":
        del train["mixed_precision"]  # as in the courses of older runs, which knew no other
    is_warm = config.train.warm_start is not None
    course = {
        "days": [day.isoformat() for day in fold.train_days],
        "train": {key: value for key, value in train.items()
                  if is_warm or not key.startswith("warm_")},
        "embedding": config.embedding.model_dump(
            mode="json", exclude={"parallel"}, exclude_none=True
        ),
    }
    return hashlib.sha256(json.dumps(course, sort_keys=True).encode()).hexdigest()
