"""What Triton asks of a model repository: the configuration of an exported model.

    <repository>/<model>/config.pbtxt
    <repository>/<model>/1/model.onnx

It writes no model and calls no server.
"""

from collections.abc import Sequence

from esmm_dist.contract.exported import ModelInput

MODEL_FILE = "model.onnx"
VERSION = "1"
CONFIG_FILE = "config.pbtxt"

MAX_BATCH_SIZE = 4096
MAX_QUEUE_DELAY_US = 500
TYPES = {"int32": "TYPE_INT32", "float32": "TYPE_FP32", "float64": "TYPE_FP64"}


def config_text(
    name: str, inputs: Sequence[ModelInput], outputs: Sequence[str], output_type: str
) -> str:
    """The text of config.pbtxt. Shapes leave out the rows of the batch, which Triton adds.

    Args:
        name: of the model, which its folder has too.
        output_type: float32 or float64.
    """
    given = [_tensor(one.name, one.type, -1 if one.max_length else 1) for one in inputs]
    made = [_tensor(output, output_type, 1) for output in outputs]
    return "\n".join([
        f'name: "{name}"',
        'backend: "onnxruntime"',
        f"max_batch_size: {MAX_BATCH_SIZE}",
        f"input [\n{_listed(given)}\n]",
        f"output [\n{_listed(made)}\n]",
        f"dynamic_batching {{ max_queue_delay_microseconds: {MAX_QUEUE_DELAY_US} }}",
        "",
    ])


def _tensor(name: str, type_name: str, length: int) -> str:
    return f'  {{ name: "{name}" data_type: {TYPES[type_name]} dims: [ {length} ] }}'


def _listed(tensors: Sequence[str]) -> str:
    return ",\n".join(tensors)
