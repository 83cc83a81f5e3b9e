"""What Triton is told of a model."""

from esmm_dist.contract.exported import inputs_of
from esmm_dist.interchange.triton import config_text
from tests.factories.random_batches import FEATURES


def test_every_tensor_is_named_with_its_type_and_its_shape_without_the_batch() -> None:
    inputs = [one for one in inputs_of(FEATURES) if one.feature in ("user", "history")]
    assert config_text("kuairand", inputs, ("p_ctr", "ctr_logit"), "float32") == (
        'name: "kuairand"\n'
        'backend: "onnxruntime"\n'
        "max_batch_size: 4096\n"
        "input [\n"
        '  { name: "user" data_type: TYPE_INT32 dims: [ 1 ] },\n'
        '  { name: "history" data_type: TYPE_INT32 dims: [ -1 ] },\n'
        '  { name: "history_weights" data_type: TYPE_FP32 dims: [ -1 ] }\n'
        "]\n"
        "output [\n"
        '  { name: "p_ctr" data_type: TYPE_FP32 dims: [ 1 ] },\n'
        '  { name: "ctr_logit" data_type: TYPE_FP32 dims: [ 1 ] }\n'
        "]\n"
        "dynamic_batching { max_queue_delay_microseconds: 500 }\n"
    )
