"""A trained model with whole tables: from the ids of named features to served probabilities.

What is exported. It looks its fields up itself, so that it needs no ranks and no routes, and holds
nothing that only training needs.

Shape legend: B rows; L ids of a row, as `contract.exported` says; F features; D width of a vector;
N rows of a table; K points of an isotonic map, S segments between them.
"""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from esmm_dist.contract.calibration import Calibration, CalibrationMap, PlattMap
from esmm_dist.contract.features import Feature, MultiValuedFeature, table_of, weights_column
from esmm_dist.model.losses import log_p_ctcvr
from esmm_dist.model.method import Method, Prediction
from esmm_dist.model.network import Networks

TablesOfNetwork = Mapping[str, Mapping[str, Tensor]]
"""Whole tables (N, D) by the name of their network, then by their own."""


class ServedModel(nn.Module):
    """Gives those of `contract.outputs` that a method predicts, each (B, 1)."""

    def __init__(
        self, features: Sequence[Feature], method: Method, networks: Networks,
        tables: TablesOfNetwork, calibration: Calibration,
    ) -> None:
        """Holds the tables as they are, without a copy."""
        super().__init__()
        self.calibration = calibration
        self.features = tuple(features)
        self.predict = method.predict
        self.networks = networks.trained
        self.buffer_of_table: dict[tuple[str, str], str] = {}
        for network, of_network in tables.items():
            for table, rows_ND in of_network.items():
                name = f"table_{len(self.buffer_of_table)}"
                self.buffer_of_table[network, table] = name
                self.register_buffer(name, rows_ND)

    def forward(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Outputs by name, from the inputs by theirs."""
        heads: dict[str, Tensor] = {}
        for name, network in self.networks.items():
            vectors = [self._field(name, feature, inputs) for feature in self.features]
            heads |= network.of_fields(torch.stack(vectors, dim=1))  # type: ignore[operator]
        outputs = outputs_of(self.predict(heads), self.calibration)
        return {name: values_B.unsqueeze(1) for name, values_B in outputs.items()}

    def _field(self, network: str, feature: Feature, inputs: Mapping[str, Tensor]) -> Tensor:
        """The vector of one field, (B, D): as `fields.field_vectors` gives it."""
        table_ND: Tensor = getattr(self, self.buffer_of_table[network, table_of(feature)])
        ids_BL = inputs[feature.name]
        vectors_BLD = F.embedding(ids_BL, table_ND)
        if not isinstance(feature, MultiValuedFeature):
            return vectors_BLD.squeeze(1)
        counts_BL = (ids_BL != 0).to(table_ND.dtype)
        if feature.weights is not None:
            counts_BL = counts_BL * inputs[weights_column(feature)].to(table_ND.dtype)
        return (vectors_BLD * counts_BL.unsqueeze(-1)).sum(1)


def outputs_of(prediction: Prediction, calibration: Calibration) -> dict[str, Tensor]:
    """The probabilities that a prediction is served as, after calibration, and the logits that it
    consists of, before; each (B,).

    p_cvr may exceed 1 where it is a quotient (`cvr_log_p`) without a map.
    """
    ctr, cvr, ctcvr, cvr_log_p = calibrated(prediction, calibration)
    probabilities: dict[str, Tensor | None] = {
        "p_ctr": None if ctr is None else torch.sigmoid(ctr),
        "p_cvr": _p_cvr(cvr, cvr_log_p),
        "p_ctcvr": _p_ctcvr(ctr, cvr, ctcvr),
    }
    logits = {name.removesuffix("_B"): values_B for name, values_B in prediction._asdict().items()}
    return {name: values_B for name, values_B in (probabilities | logits).items()
            if values_B is not None}


def calibrated(prediction: Prediction, calibration: Calibration) -> Prediction:
    """The prediction after its maps, as calibration.maps has it for arrays."""
    ctr, cvr, ctcvr, cvr_log_p = prediction
    maps = calibration.maps
    if ctr is not None and "ctr" in maps:
        ctr = mapped(ctr, maps["ctr"])
    if ctcvr is not None and "ctcvr" in maps:
        ctcvr = mapped(ctcvr, maps["ctcvr"])
    score = cvr if cvr_log_p is None else cvr_log_p
    if score is not None and "cvr" in maps:
        cvr, cvr_log_p = mapped(score, maps["cvr"]), None
    return Prediction(ctr, cvr, ctcvr, cvr_log_p)


def mapped(score_B: Tensor, by: CalibrationMap) -> Tensor:
    """The logit of the calibrated probability, (B,)."""
    if isinstance(by, PlattMap):
        return by.slope * score_B + by.intercept
    points = torch.tensor([by.score, by.p], dtype=torch.float64)
    (score_K, p_K), step_2S = points, points.diff(dim=1)
    # No search, which ONNX lacks: each segment adds the part of its rise that the score has passed.
    passed_BS = ((score_B.double().unsqueeze(1) - score_K[:-1]) / step_2S[0]).clamp(0, 1)
    p_B = p_K[0] + (passed_BS * step_2S[1]).sum(1)
    return (torch.log(p_B) - torch.log1p(-p_B)).to(score_B.dtype)


def _p_cvr(cvr: Tensor | None, cvr_log_p: Tensor | None) -> Tensor | None:
    if cvr_log_p is not None:
        return torch.exp(cvr_log_p)
    return None if cvr is None else torch.sigmoid(cvr)


def _p_ctcvr(ctr: Tensor | None, cvr: Tensor | None, ctcvr: Tensor | None) -> Tensor | None:
    if ctcvr is not None:
        return torch.sigmoid(ctcvr)
    return None if ctr is None or cvr is None else torch.exp(log_p_ctcvr(ctr, cvr))
