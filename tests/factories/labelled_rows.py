"""Batches that hold labels and weights and no feature, for tests of losses."""

from collections.abc import Sequence

import torch

from esmm_dist.contract.batch import Batch, Delays

FINAL = {"click_delay_s": 60, "conversion_delay_s": 7_200, "observed_s": 172_800, "mature": 1,
         "fake_negative": 0}
"""Of a row whose labels are final: seconds, and marks."""


def labelled_rows(
    clicks: Sequence[float], conversions: Sequence[float], weights: Sequence[float],
    **delays: int,
) -> Batch:
    """One row for each label; sample ids count from 0.

    Args:
        delays: what differs from FINAL, of all rows alike.
    """
    of_all = FINAL | delays
    tensors = {f"{name}_B": torch.full((len(clicks),), value,
                                       dtype=torch.float32 if name in ("mature", "fake_negative")
                                       else torch.int32)
               for name, value in of_all.items()}
    return Batch(
        ids_BF=torch.zeros(len(clicks), 0, dtype=torch.int32), bags=(),
        click_B=torch.tensor(clicks), conversion_B=torch.tensor(conversions),
        weight_B=torch.tensor(weights), sample_id_B=torch.arange(len(clicks)),
        group_id_B=torch.zeros(len(clicks), dtype=torch.int64), delays=Delays(**tensors),
    )
