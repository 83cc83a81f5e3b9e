"""Embedding tables trained the plain way: one nn.Embedding a table, one process, a loop over rows.

Slow and obvious; it shares no code with the sharded tables.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from esmm_dist.contract.batch import Batch
from esmm_dist.contract.features import Feature, MultiValuedFeature, table_of
from esmm_dist.contract.row_space import RowSpace


def rows_by_table(by_bucket_KSX: Tensor, space: RowSpace) -> dict[str, Tensor]:
    """A tensor of all buckets as one tensor a table, by id."""
    by_slot = by_bucket_KSX.flatten(0, 1)
    return {
        table: by_slot[[space.slot_of(table, row) for row in range(num_rows)]]
        for table, num_rows in space.num_rows_of_table.items()
    }


class PlainTables:
    """Dense tables, a dense gradient, and one of three rules applied row by row to rows seen."""

    def __init__(
        self, features: Sequence[Feature], rows_of_table: Mapping[str, Tensor], rule: str,
        learning_rate: float, weight_decay: float = 0.0,
    ) -> None:
        self.features = features
        self.tables = {
            name: nn.Embedding.from_pretrained(rows.clone(), freeze=False)
            for name, rows in rows_of_table.items()
        }
        self.zeros_D = torch.zeros_like(next(iter(rows_of_table.values()))[0])
        self.rule, self.learning_rate, self.weight_decay = rule, learning_rate, weight_decay
        self.memory: dict[tuple[str, int], dict[str, Tensor]] = {}

    def vectors(self, batch: Batch) -> Tensor:
        """(B, F, D), row by row and field by field."""
        vectors = [
            sum((self.tables[table_of(feature)](i) * w for i, w in zip(ids, weights)), self.zeros_D)
            for b in range(batch.num_rows)
            for feature, (ids, weights) in zip(self.features, self._entries_of_row(batch, b))
        ]
        stacked = torch.stack(vectors) if vectors else self.zeros_D.new_zeros(0)
        return stacked.view(batch.num_rows, len(self.features), len(self.zeros_D))

    def step(self, batches: Sequence[Batch], scale: float) -> None:
        """Applies the gradients found by backward() to the rows that any of the batches looks up.

        A row that is looked up moves, be its gradient zero.
        """
        seen = {
            (table_of(feature), int(row))
            for batch in batches
            for b in range(batch.num_rows)
            for feature, (ids, _) in zip(self.features, self._entries_of_row(batch, b))
            for row in ids
        }
        for name, row in sorted(seen):
            weight = self.tables[name].weight
            assert weight.grad is not None
            with torch.no_grad():
                gradient = weight.grad[row] * scale + self.weight_decay * weight[row]
                weight[row] -= self._move(gradient, self.memory.setdefault((name, row), {}))
        for table in self.tables.values():
            table.weight.grad = None

    def _entries_of_row(self, batch: Batch, b: int) -> list[tuple[Tensor, list[float]]]:
        """Of each feature the ids and what each counts."""
        singles, bags = iter(batch.ids_BF[b].long()), iter(batch.bags)
        entries = []
        for feature in self.features:
            if isinstance(feature, MultiValuedFeature):
                bag = next(bags)
                first, after = bag.offsets_B1[b : b + 2].tolist()
                weights_V = bag.weights_V
                weights = [1.0] * (after - first)
                if weights_V is not None:
                    weights = weights_V[first:after].tolist()
                entries.append((bag.ids_V[first:after].long(), weights))
            else:
                entries.append((next(singles).view(1), [1.0]))
        return entries

    def _move(self, gradient: Tensor, memory: dict[str, Tensor]) -> Tensor:
        if self.rule == "sgd":
            return self.learning_rate * gradient
        zeros = torch.zeros_like(gradient)
        if self.rule == "adagrad":
            memory["sum"] = memory.get("sum", 0) + (gradient**2).mean()
            return self.learning_rate * gradient / (memory["sum"] ** 0.5 + 1e-10)
        assert self.rule == "adam"
        memory["mean"] = 0.9 * memory.get("mean", zeros) + 0.1 * gradient
        memory["square"] = 0.999 * memory.get("square", zeros) + 0.001 * gradient**2
        memory["count"] = memory.get("count", torch.tensor(0)) + 1
        count = int(memory["count"])
        mean, square = memory["mean"] / (1 - 0.9**count), memory["square"] / (1 - 0.999**count)
        return self.learning_rate * mean / (square**0.5 + 1e-8)
