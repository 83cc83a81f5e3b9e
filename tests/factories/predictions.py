"""Predictions made up for tests: users of different tastes, ties, weights, rare conversions."""

from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esmm_dist.evaluation.predictions import Predictions

FIRST_DAY = date(2024, 1, 3)


def known(values_N: NDArray[Any] | None) -> NDArray[np.float64]:
    """What a predictor that predicts it says."""
    assert values_N is not None
    return values_N


def random_predictions(
    num_rows: int = 400, num_groups: int = 40, num_days: int = 2, seed: int = 0,
    noise: float = 0.5, conversion_logit: float = -1.0,
) -> Predictions:
    """Rows whose labels follow true logits, and logits that are those and noise.

    Two calls that differ in `noise` alone have the same rows and labels.
    """
    labels, errors = np.random.default_rng([seed, 0]), np.random.default_rng([seed, 1])
    group_N = labels.integers(num_groups, size=num_rows)
    taste_N = labels.normal(size=num_groups)[group_N]
    ctr_N = taste_N + labels.normal(size=num_rows)
    cvr_N = 0.5 * ctr_N + conversion_logit + 0.5 * labels.normal(size=num_rows)
    click_N = labels.random(num_rows) < 1 / (1 + np.exp(-ctr_N))
    conversion_N = click_N & (labels.random(num_rows) < 1 / (1 + np.exp(-cvr_N)))
    first_day = np.datetime64(FIRST_DAY)
    return Predictions(
        sample_id_N=np.sort(labels.choice(2**40, num_rows, replace=False)) - 2**39,
        group_id_N=group_N * 1_000_003 - 7,
        day_N=first_day + labels.integers(num_days, size=num_rows),
        click_N=click_N.astype(np.int8),
        conversion_N=conversion_N.astype(np.int8),
        weight_N=labels.choice([0.5, 1.0, 3.0], num_rows),
        ctr_logit_N=np.round(ctr_N + noise * errors.normal(size=num_rows), 1),
        cvr_logit_N=np.round(cvr_N + noise * errors.normal(size=num_rows), 1),
    )
