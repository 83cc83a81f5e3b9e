"""ESMM trained the plain way: nn.Embedding, nn.Linear, torch's Adam, row-wise Adagrad, one process.

It shares no code with the engine: batches come as they are read, the weights begin where the
engine's begin.

Shape legend: B rows; D embedding dimension; I inputs of a layer, O outputs, T towers.
"""

from collections.abc import Iterable, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from esmm_dist.contract.batch import Batch
from esmm_dist.contract.features import Feature, MultiValuedFeature, table_of


class PlainTraining:
    """The curve of plain tables and layers over some batches."""

    def __init__(
        self, features: Sequence[Feature], rows_of_table: Mapping[str, Tensor],
        weights_TIO: Iterable[Tensor], biases_T1O: Iterable[Tensor], tower_rate: float,
        table_rate: float,
    ) -> None:
        self.features = features
        self.tables = {name: nn.Embedding.from_pretrained(rows.clone(), freeze=False)
                       for name, rows in rows_of_table.items()}
        self.sums = {name: torch.zeros(len(rows), dtype=rows.dtype)
                     for name, rows in rows_of_table.items()}
        layers = list(zip(weights_TIO, biases_T1O, strict=True))
        self.towers = [
            [_linear(weight_TIO[t], bias_T1O[t]) for weight_TIO, bias_T1O in layers]
            for t in range(2)
        ]
        parameters = [p for tower in self.towers for layer in tower for p in layer.parameters()]
        self.adam = torch.optim.Adam(parameters, tower_rate)
        self.table_rate = table_rate

    def losses(self, batches: Iterable[Batch]) -> list[float]:
        """The loss before each step."""
        return [self._step(batch) for batch in batches]

    def _step(self, batch: Batch) -> float:
        seen: dict[str, list[Tensor]] = {name: [] for name in self.tables}
        inputs_BI = self._inputs(batch, seen)
        p_ctr_B, p_cvr_B = (torch.sigmoid(self._logit(tower, inputs_BI)) for tower in self.towers)
        loss = (F.binary_cross_entropy(p_ctr_B, batch.click_B.double())
                + F.binary_cross_entropy(p_ctr_B * p_cvr_B, batch.conversion_B.double()))
        self.adam.zero_grad()
        loss.backward()
        self.adam.step()
        for name, ids in seen.items():
            self._move_rows(name, torch.cat(ids).unique())
        return loss.item()

    def _inputs(self, batch: Batch, seen: dict[str, list[Tensor]]) -> Tensor:
        singles, bags = iter(batch.ids_BF.long().unbind(1)), iter(batch.bags)
        vectors = []
        for feature in self.features:
            table = self.tables[table_of(feature)]
            if isinstance(feature, MultiValuedFeature):
                bag = next(bags)
                ids = bag.ids_V.long()
                parts = table(ids).split(bag.offsets_B1.diff().tolist())
                vectors.append(torch.stack([part.sum(0) for part in parts]))
            else:
                ids = next(singles)
                vectors.append(table(ids))
            seen[table_of(feature)].append(ids)
        return torch.cat(vectors, dim=1)

    def _logit(self, tower: Sequence[nn.Linear], x_BI: Tensor) -> Tensor:
        *hidden, last = tower
        for layer in hidden:
            x_BI = torch.relu(layer(x_BI))
        logit_B1: Tensor = last(x_BI)
        return logit_B1.squeeze(1)

    def _move_rows(self, name: str, ids: Tensor) -> None:
        """Row-wise Adagrad: s += mean of g^2; w -= rate g / (sqrt(s) + 1e-10)."""
        weight = self.tables[name].weight
        assert weight.grad is not None
        with torch.no_grad():
            for row in ids.tolist():
                gradient_D = weight.grad[row]
                self.sums[name][row] += (gradient_D**2).mean()
                step = self.table_rate / (self.sums[name][row] ** 0.5 + 1e-10)
                weight[row] -= step * gradient_D
        weight.grad = None


def _linear(weight_IO: Tensor, bias_1O: Tensor) -> nn.Linear:
    num_in, num_out = weight_IO.shape
    layer = nn.Linear(num_in, num_out, dtype=weight_IO.dtype)
    with torch.no_grad():
        layer.weight.copy_(weight_IO.t())
        layer.bias.copy_(bias_1O.flatten())
    return layer
