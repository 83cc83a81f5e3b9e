"""The whole network from fetched embedding rows to logits.

The embedding tables are not part of it: it is what every rank holds a copy of.

Shape legend: B rows; F features in order of declaration; U distinct embedding rows; D their width.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from esmm_dist.contract.features import Feature
from esmm_dist.contract.places import Places
from esmm_dist.contract.sections import Model
from esmm_dist.model.fields import columns_of_groups, combine_fields, field_vectors
from esmm_dist.model.towers import Towers


class Logits(NamedTuple):
    """What the towers say of every row."""

    ctr_logit_B: Tensor
    """p(click) = sigmoid(ctr_logit)."""
    cvr_logit_B: Tensor
    """p(conversion | click) = sigmoid(cvr_logit)."""


class Network(nn.Module):
    """Shared field vectors, combined, and a tower for each of CTR and CVR."""

    def __init__(
        self,
        features: Sequence[Feature],
        model: Model,
        seed: int,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        self.combine = model.combine
        self.columns = columns_of_groups([feature.group for feature in features])
        num_vectors = len(features) if model.combine == "concat" else len(self.columns)
        self.towers = Towers(
            num_towers=len(Logits._fields),
            num_inputs=num_vectors * model.embedding_dim,
            hidden_units=model.hidden_units,
            seed=seed,
            dtype=dtype,
        )

    def forward(self, rows_UD: Tensor, places: Places) -> Logits:
        """Logits of the B rows whose fields `places` finds among the rows fetched."""
        vectors_BFD = field_vectors(rows_UD, places)
        return Logits(*self.towers(combine_fields(vectors_BFD, self.combine, self.columns)))
