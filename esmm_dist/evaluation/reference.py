"""The reference that a report shows unless told otherwise: logistic regressions on its samples.

Three separate fits, each on its own space and label: CTR and CTCVR over impressions, CVR over
clicks. Every id is one column; a bag adds 1, or its weight, to one column an element. No embedding,
no sharing: what the network has to beat.

The penalty is the same for all three and for any data: C = 0.3, that is a Gaussian prior of
variance 0.3 on every weight. Of 0.1, 0.3, 0.5, 1 and 2 it had the lowest log loss on a held-out
training day of KuaiRand, or came within 0.0005 of it, on each task. Newton's method reaches the
optimum in a dozen steps; L-BFGS, at the same tolerance, takes a hundred and stops short of it.

Shape legend: B rows of a batch; N rows; C columns seen in training; P pairs of a row and a column.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.linear_model import LogisticRegression

from esmm_dist.contract.batch import Batch
from esmm_dist.contract.encodings import Encodings, num_rows_of_feature
from esmm_dist.contract.features import Feature, MultiValuedFeature
from esmm_dist.evaluation.predictions import Logits
from esmm_dist.evaluation.tasks import FloatArray, Task

INVERSE_PENALTY = 0.3
MAX_ITERATIONS = 100
GRADIENT_TOLERANCE = 1e-4

IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class ColumnSpace:
    """Where each feature's ids begin in one space of columns; no two features share a column."""

    first_column_F: IntArray
    """Of single-valued features, in order of declaration."""
    first_column_of_bag: tuple[int, ...]

    @classmethod
    def of(cls, features: Sequence[Feature], encodings: Encodings) -> Self:
        """Features one after the other, in order of declaration."""
        sizes = [num_rows_of_feature(feature, encodings) for feature in features]
        starts = np.cumsum([0, *sizes[:-1]], dtype=np.int64)
        is_bag = np.array([isinstance(feature, MultiValuedFeature) for feature in features])
        return cls(starts[~is_bag], tuple(int(start) for start in starts[is_bag]))

    def pairs(self, batch: Batch) -> tuple[IntArray, IntArray, FloatArray]:
        """Which row has which column and how much of it: row_P below B, column_P, value_P."""
        ids_BF = batch.ids_BF.cpu().numpy().astype(np.int64)
        num_rows, num_features = ids_BF.shape
        rows = [np.repeat(np.arange(num_rows), num_features)]
        columns = [(ids_BF + self.first_column_F).ravel()]
        values = [np.ones(ids_BF.size)]
        for bag, first_column in zip(batch.bags, self.first_column_of_bag, strict=True):
            lengths_B = np.diff(bag.offsets_B1.cpu().numpy())
            rows.append(np.repeat(np.arange(num_rows), lengths_B))
            columns.append(bag.ids_V.cpu().numpy().astype(np.int64) + first_column)
            weights_V = bag.weights_V
            values.append(
                np.ones(len(bag.ids_V)) if weights_V is None
                else weights_V.cpu().numpy().astype(np.float64)
            )
        return np.concatenate(rows), np.concatenate(columns), np.concatenate(values)


@dataclass(frozen=True)
class Linear:
    """logit = x @ coefficient + intercept."""

    coefficient_C: FloatArray
    intercept: float

    @classmethod
    def fit(cls, x_NC: sparse.csr_matrix, label_N: FloatArray, weight_N: FloatArray) -> Self:
        """A penalised fit; without rows of both classes their smoothed rate alone."""
        if len(np.unique(label_N)) < 2:
            positive = float((weight_N * label_N).sum())
            negative = float((weight_N * (1 - label_N)).sum())
            return cls(np.zeros(x_NC.shape[1]), float(np.log((positive + 0.5) / (negative + 0.5))))
        regression = LogisticRegression(
            C=INVERSE_PENALTY, solver="newton-cg", max_iter=MAX_ITERATIONS, tol=GRADIENT_TOLERANCE
        ).fit(x_NC, label_N, sample_weight=weight_N)
        return cls(regression.coef_[0], float(regression.intercept_[0]))

    def logits(self, x_NC: sparse.csr_matrix) -> FloatArray:
        """The logit of every row, (N,)."""
        return x_NC @ self.coefficient_C + self.intercept


@dataclass(frozen=True)
class Reference:
    """Three fitted regressions over the columns that training saw; others weigh nothing."""

    space: ColumnSpace
    seen_C: IntArray
    """Columns of the space, sorted."""
    linear_of_task: Mapping[Task, Linear]

    @classmethod
    def fit(
        cls, batches: Iterable[Batch], features: Sequence[Feature], encodings: Encodings
    ) -> Self:
        """Fits on all rows of the batches; padding and rows of weight 0 teach nothing."""
        space = ColumnSpace.of(features, encodings)
        rows, columns, values, labels, num_rows = [], [], [], [], 0
        for batch in batches:
            row_P, column_P, value_P = space.pairs(batch)
            rows.append(row_P + num_rows)
            columns.append(column_P)
            values.append(value_P)
            labels.append([t.cpu().numpy().astype(np.float64)
                           for t in (batch.click_B, batch.conversion_B, batch.weight_B)])
            num_rows += batch.num_rows
        click_N, conversion_N, weight_N = (np.concatenate(parts) for parts in zip(*labels))
        seen_C, place_P = np.unique(np.concatenate(columns), return_inverse=True)
        x_NC = sparse.csr_matrix(
            (np.concatenate(values), (np.concatenate(rows), place_P)), (num_rows, len(seen_C))
        )

        real_N = weight_N > 0
        clicked_N = real_N & (click_N == 1)
        fits = {
            Task.CTR: (real_N, click_N),
            Task.CVR: (clicked_N, conversion_N),
            Task.CTCVR: (real_N, click_N * conversion_N),
        }
        return cls(space, seen_C, {
            task: Linear.fit(x_NC[space_N], label_N[space_N], weight_N[space_N])
            for task, (space_N, label_N) in fits.items()
        })

    def predict(self, batch: Batch) -> Logits:
        """Logits of a batch's rows; pCTCVR is predicted by itself, not as a product."""
        row_P, column_P, value_P = self.space.pairs(batch)
        place_P = np.minimum(np.searchsorted(self.seen_C, column_P), len(self.seen_C) - 1)
        known_P = self.seen_C[place_P] == column_P
        x_BC = sparse.csr_matrix(
            (value_P[known_P], (row_P[known_P], place_P[known_P])),
            (batch.num_rows, len(self.seen_C)),
        )
        logits = {task: linear.logits(x_BC) for task, linear in self.linear_of_task.items()}
        return Logits(logits[Task.CTR], logits[Task.CVR], logits[Task.CTCVR])
