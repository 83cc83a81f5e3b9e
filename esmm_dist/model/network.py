"""From fetched embedding rows to logits: the networks of a method.

The embedding tables are not part of them: these are what every rank holds a copy of.

Shape legend: B rows; F features in order of declaration; U distinct embedding rows; D their width;
X = D times the networks that rows were fetched for, network by network.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from esmm_dist.contract.features import Feature
from esmm_dist.contract.places import Places
from esmm_dist.contract.sections import Model
from esmm_dist.contract.seeds import seed_of_part
from esmm_dist.model.fields import columns_of_groups, combine_fields, field_vectors
from esmm_dist.model.method import Heads, NetworkSpec


class Network(nn.Module):
    """Field vectors, combined, and a body that ends in a logit for each head."""

    def __init__(
        self,
        features: Sequence[Feature],
        model: Model,
        spec: NetworkSpec,
        seed: int,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        self.heads = spec.heads
        self.combine = model.combine
        self.columns = columns_of_groups([feature.group for feature in features])
        num_vectors = len(features) if model.combine == "concat" else len(self.columns)
        self.body = spec.make_body(
            len(spec.heads), num_vectors * model.embedding_dim, model,
            torch.Generator().manual_seed(seed), dtype,
        )

    def forward(self, rows_UD: Tensor, places: Places) -> Heads:
        """Logits of the B rows whose fields `places` finds among the rows fetched."""
        return self.of_fields(field_vectors(rows_UD, places))

    def of_fields(self, vectors_BFD: Tensor) -> Heads:
        """Logits of B rows, from the vectors of their fields."""
        logits_TB = self.body(combine_fields(vectors_BFD, self.combine, self.columns))
        return dict(zip(self.heads, logits_TB))


class Networks(nn.Module):
    """Networks that share nothing; one part of them may learn while another only answers."""

    def __init__(self, trained: Mapping[str, Network], read: Mapping[str, Network] = {}) -> None:
        """Only those trained are parameters of this module."""
        super().__init__()
        self.trained = nn.ModuleDict(trained)
        self._read = dict(read)

    @classmethod
    def of(
        cls, features: Sequence[Feature], model: Model, specs: Mapping[str, NetworkSpec], seed: int,
        dtype: torch.dtype = torch.float32,
    ) -> "Networks":
        """All networks of a method as they stand before the first step."""
        return cls({
            name: Network(features, model, spec, seed_of_part(seed, number), dtype)
            for number, (name, spec) in enumerate(specs.items())
        })

    def part(self, trained: Sequence[str], read: Sequence[str]) -> "Networks":
        """The same networks, of which only some learn, and others only answer."""
        named = dict(self.trained.items())
        return Networks({name: named[name] for name in trained},  # type: ignore[misc]
                        {name: named[name] for name in read})  # type: ignore[misc]

    def forward(self, rows_UX: Tensor, places: Places) -> Heads:
        """The logits of all heads, from the rows of those trained, then of those read."""
        width = rows_UX.shape[1] // (len(self.trained) + len(self._read))
        parts = iter(rows_UX.split(width, dim=1))
        heads: dict[str, Tensor] = {}
        for network in self.trained.values():
            heads |= network(next(parts), places)
        with torch.no_grad():
            for network in self._read.values():
                heads |= network(next(parts), places)
        return heads
