"""An exported model: what it takes, what it gives, and the document that says what was exported.

Whoever exports a model, feeds it or describes it to a server agrees here; it holds no tensor.

Every input is (B, L): B rows, L ids of each, local to the feature's table. A single-valued feature
has L = 1. A multi-valued one is as long as the longest list of the batch, and shorter lists end in
0, which is no value's id and counts nothing. Weights lie beside the ids they belong to. Every
output is (B, 1); a model gives those of `contract.outputs` that its method predicts.
"""

from collections.abc import Sequence
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from esmm_dist.contract.bundle import Part
from esmm_dist.contract.calibration import Calibration
from esmm_dist.contract.errors import InputError
from esmm_dist.contract.features import Feature, MultiValuedFeature, weights_column
from esmm_dist.contract.outputs import OUTPUTS, PROBABILITIES

EXPORT_INDEX = "export.json"


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ModelInput(_Document):
    """One named tensor that the model takes."""

    name: str
    """Of the feature's column of the samples."""
    feature: str
    """Inputs of one feature are of one length."""
    type: Literal["int32", "float32"]
    """int32: ids; float32: weights."""
    max_length: int | None = None
    """Of a list: at most so many columns, and any number below; None: one column."""


class ExportIndex(_Document):
    """The content of export.json, written last."""

    format_version: Literal[1] = 1
    method: str
    fingerprint: str
    """Of the feature declaration."""
    encodings: str
    """Content hash of the vocabularies and boundaries whose ids it takes."""
    checkpoint: str
    """Digest of the checkpoint that it was made of."""
    onnx: str
    """The ONNX file, relative to this document; its tables may lie beside it."""
    tables: str | None
    """The file of the embedding tables, if they do not stand inside the ONNX file."""
    torch: str | None
    """The file that torch.export.load reads; none where tables lie beside the model, to which it
    cannot refer."""
    inputs: tuple[ModelInput, ...]
    """In the order of the model's arguments."""
    outputs: tuple[str, ...]
    calibration: Calibration
    """What its probabilities have passed."""
    num_rows_checked: int
    """Rows of the test days that ONNX and PyTorch were compared on."""
    max_difference: float
    """The largest difference of a probability between the two."""
    files: tuple[Part, ...] = ()
    """All others of the folder, in order of their paths; of an older export nobody noted them."""

    @property
    def probabilities(self) -> tuple[str, ...]:
        """Those of the outputs that are probabilities."""
        return tuple(name for name in PROBABILITIES if name in self.outputs)

    @classmethod
    def parse(cls, text: str, source: str) -> Self:
        """Reads export.json.

        Raises:
            InputError: it is none; `source` names the file.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError:
            raise InputError(
                f"{source}: damaged, or of another version: run esmm_dist.export again"
            ) from None


def inputs_of(features: Sequence[Feature]) -> tuple[ModelInput, ...]:
    """What a model of some features takes, in order of declaration.

    Raises:
        InputError: a feature is called like an output, and ONNX could not tell the two apart.
    """
    inputs: list[ModelInput] = []
    for feature in features:
        name = feature.name
        if not isinstance(feature, MultiValuedFeature):
            inputs.append(ModelInput(name=name, feature=name, type="int32"))
            continue
        length = feature.max_length
        inputs.append(ModelInput(name=name, feature=name, type="int32", max_length=length))
        if feature.weights is not None:
            inputs.append(ModelInput(
                name=weights_column(feature), feature=name, type="float32", max_length=length
            ))
    taken = next((one.name for one in inputs if one.name in OUTPUTS), None)
    if taken is not None:
        raise InputError(
            f"features.{taken}: an exported model calls one of its outputs so: give the feature "
            "another name under logs.impressions.columns"
        )
    return tuple(inputs)
