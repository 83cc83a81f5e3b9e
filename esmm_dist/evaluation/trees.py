"""Gradient-boosted trees as a reference, on the very same samples: two ways to grow them.

* apart: an ensemble for CTR over impressions, one for CVR over clicks; pCTCVR is their product;
* jointly: a pair of ensembles that every round gives one tree each, both grown against ESMM's loss
  over all impressions at the point where the pair stands (docs/gbt.md).

All rows of a fold are held in memory.

Shape legend: B rows of a batch; N rows; C columns.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import lightgbm
import numpy as np

from esmm_dist.contract.batch import Batch
from esmm_dist.contract.features import Feature
from esmm_dist.contract.sections import Trees
from esmm_dist.evaluation.entire_space_objective import curvatures, gradients
from esmm_dist.evaluation.predictions import Logits
from esmm_dist.evaluation.tasks import FloatArray
from esmm_dist.evaluation.tree_columns import Columns, TreeColumns

CLICK, CVR = 0, 1
"""Places of the two scores of a joint ensemble."""


@dataclass(frozen=True)
class TrainingRows:
    """What trees are grown on."""

    columns_NC: Columns
    categorical: list[int]
    click_N: FloatArray
    ctcvr_N: FloatArray
    weight_N: FloatArray

    @classmethod
    def of(cls, columns: TreeColumns, batches: Sequence[Batch]) -> Self:
        """All rows of the batches that have a weight."""
        click_N, conversion_N, weight_N = (
            np.concatenate([getattr(batch, name).cpu().numpy() for batch in batches])
            .astype(np.float64) for name in ("click_B", "conversion_B", "weight_B")
        )
        columns_NC = np.concatenate([columns.of(batch) for batch in batches])
        real_N = weight_N > 0
        return cls(columns_NC[real_N], columns.categorical, click_N[real_N],
                   (click_N * conversion_N)[real_N], weight_N[real_N])

    def first_scores(self) -> tuple[float, float]:
        """The logits of the click rate and of the conversion rate on clicks, smoothed by half."""
        clicks = float(self.weight_N @ self.click_N)
        conversions = float(self.weight_N @ self.ctcvr_N)
        rest = float(self.weight_N.sum()) - clicks
        return (float(np.log((clicks + 0.5) / (rest + 0.5))),
                float(np.log((conversions + 0.5) / (clicks - conversions + 0.5))))

    def clicked(self) -> "TrainingRows":
        """Those of them that were clicked."""
        is_clicked_N = self.click_N == 1
        return TrainingRows(self.columns_NC[is_clicked_N], self.categorical,
                            self.click_N[is_clicked_N], self.ctcvr_N[is_clicked_N],
                            self.weight_N[is_clicked_N])


@dataclass(frozen=True)
class TreesApart:
    """Two ensembles that know nothing of each other."""

    columns: TreeColumns
    ctr: Any
    cvr: Any
    first_scores: tuple[float, float]

    @classmethod
    def fit(cls, batches: Iterable[Batch], features: Sequence[Feature], section: Trees) -> Self:
        """Grows them on all rows of the batches; rows of weight 0 teach nothing."""
        columns, rows = _columns_and_rows(batches, features)
        first = rows.first_scores()
        clicked = rows.clicked()
        return cls(
            columns,
            _grow_binary(rows, rows.click_N, first[CLICK], section),
            _grow_binary(clicked, clicked.ctcvr_N, first[CVR], section),
            first,
        )

    def predict(self, batch: Batch) -> Logits:
        """Logits of a batch's rows."""
        columns_BC = self.columns.of(batch)
        ctr_B, cvr_B = (
            first + np.zeros(len(columns_BC)) if booster is None
            else first + booster.predict(columns_BC, raw_score=True)
            for first, booster in zip(self.first_scores, (self.ctr, self.cvr))
        )
        return Logits(ctr_B, cvr_B)


@dataclass(frozen=True)
class JointTrees:
    """A pair of ensembles of which each round's two trees are grown against one loss."""

    columns: TreeColumns
    pair: Any
    first_scores: tuple[float, float]

    @classmethod
    def fit(cls, batches: Iterable[Batch], features: Sequence[Feature], section: Trees) -> Self:
        """Grows the pair on all rows of the batches; rows of weight 0 teach nothing."""
        columns, rows = _columns_and_rows(batches, features)
        first = rows.first_scores()

        def objective(scores_N2: FloatArray, _: Any) -> tuple[FloatArray, FloatArray]:
            ctr_N, cvr_N = scores_N2[:, CLICK] + first[CLICK], scores_N2[:, CVR] + first[CVR]
            by_score = gradients(ctr_N, cvr_N, rows.click_N, rows.ctcvr_N)
            curvature = curvatures(ctr_N, cvr_N)
            weight_N1 = rows.weight_N[:, np.newaxis]
            return (np.column_stack(by_score) * weight_N1, np.column_stack(curvature) * weight_N1)

        dataset = _dataset(rows, rows.click_N)
        parameters = _parameters(section) | {"objective": objective, "num_class": 2}
        return cls(columns, lightgbm.train(parameters, dataset, section.num_rounds), first)

    def predict(self, batch: Batch) -> Logits:
        """Logits of a batch's rows."""
        scores_B2 = self.pair.predict(self.columns.of(batch), raw_score=True)
        return Logits(scores_B2[:, CLICK] + self.first_scores[CLICK],
                      scores_B2[:, CVR] + self.first_scores[CVR])


def _columns_and_rows(
    batches: Iterable[Batch], features: Sequence[Feature]
) -> tuple[TreeColumns, TrainingRows]:
    kept = list(batches)
    columns = TreeColumns.fit(features, kept)
    return columns, TrainingRows.of(columns, kept)


def _grow_binary(
    rows: TrainingRows, label_N: FloatArray, first: float, section: Trees
) -> Any:
    """An ensemble for one label; None where the rows are too few or of one class only."""
    if len(np.unique(label_N)) < 2:
        return None
    dataset = _dataset(rows, label_N, np.full(len(label_N), first), rows.weight_N)
    parameters = _parameters(section) | {"objective": "binary", "boost_from_average": False}
    return lightgbm.train(parameters, dataset, section.num_rounds)


def _dataset(
    rows: TrainingRows, label_N: FloatArray, first_N: FloatArray | None = None,
    weight_N: FloatArray | None = None,
) -> Any:
    return lightgbm.Dataset(
        rows.columns_NC, label_N, weight=weight_N, init_score=first_N,
        categorical_feature=rows.categorical, free_raw_data=True,
    )


def _parameters(section: Trees) -> dict[str, Any]:
    return {
        "learning_rate": section.learning_rate,
        "num_leaves": section.num_leaves,
        "min_data_in_leaf": section.min_rows_of_leaf,
        # The curvature of CVR is about one a conversion: a leaf may hold few of it, and the
        # penalty counts in conversions.
        "min_sum_hessian_in_leaf": 1e-6,
        "lambda_l2": section.l2_penalty,
        "seed": 0,
        "deterministic": True,
        "force_col_wise": True,
        "verbosity": -1,
    }
