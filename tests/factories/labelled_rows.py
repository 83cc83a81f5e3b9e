"""Batches that hold labels and weights and no feature, for tests of losses."""

from collections.abc import Sequence

import torch

from esmm_dist.contract.batch import Batch


def labelled_rows(
    clicks: Sequence[float], conversions: Sequence[float], weights: Sequence[float]
) -> Batch:
    """One row for each label; sample ids count from 0."""
    return Batch(
        ids_BF=torch.zeros(len(clicks), 0, dtype=torch.int32), bags=(),
        click_B=torch.tensor(clicks), conversion_B=torch.tensor(conversions),
        weight_B=torch.tensor(weights), sample_id_B=torch.arange(len(clicks)),
        group_id_B=torch.zeros(len(clicks), dtype=torch.int64),
    )
