"""What a method is made of, and the methods by their names in the config.

A method lies in a module of its name in `methods`: the networks that it needs, the stages in which
they are trained, the rows and the loss of each, and what its logits predict. It knows no rank, no
reader and no optimizer.

Shape legend: B rows of a batch.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import Any, NamedTuple

from torch import Tensor, nn

from esmm_dist.contract.batch import Batch
from esmm_dist.contract.errors import InputError
from esmm_dist.contract.multiplicity import EVERY_ROW, Multiplicity
from esmm_dist.contract.sections import Model, Samples
from esmm_dist.model.towers import plain_towers

Heads = Mapping[str, Tensor]
"""The logits of a batch by the names of the heads, each (B,)."""

LossSums = Callable[[Heads, Batch], dict[str, Tensor]]
"""Loss terms by name: summed over the rows given, each times its weight; not divided. What is
minimised is their total over all ranks, divided by the total weight."""


class Prediction(NamedTuple):
    """What a method says of every row; what it does not say is None."""

    ctr_logit_B: Tensor | None
    """p(click) = sigmoid(ctr_logit)."""
    cvr_logit_B: Tensor | None
    """p(conversion | click) = sigmoid(cvr_logit)."""
    ctcvr_logit_B: Tensor | None = None
    """p(click and conversion), where it is predicted by itself; else it is the product."""
    cvr_log_p_B: Tensor | None = None
    """log of a p(conversion | click) that may exceed 1 and so has no logit."""


def predict_by_name(heads: Heads) -> Prediction:
    """Of heads that are called by their task."""
    return Prediction(heads.get("ctr"), heads.get("cvr"), heads.get("ctcvr"))


@dataclass(frozen=True)
class NetworkSpec:
    """A network with an embedding of its own, which it shares with no other network."""

    heads: tuple[str, ...]
    make_body: Callable[..., nn.Module] = plain_towers
    """(num_heads, num_inputs, model, generator, dtype) -> a module from (B, I) to (heads, B)."""
    num_shared_layers: int = 0
    """How many of model.hidden_units stand for layers that the heads share."""


@dataclass(frozen=True)
class Stage:
    """A part of a training with rows and a loss of its own."""

    name: str
    trains: tuple[str, ...]
    """The networks that learn in it."""
    loss_sums: LossSums
    reads: tuple[str, ...] = ()
    """Networks trained before, whose logits the loss needs; they stay as they are."""
    rows: Multiplicity = EVERY_ROW
    reweigh: Callable[[Heads, Batch], Batch] | None = None
    """Gives rows other weights, for the losses and for the weight they are divided by."""
    weigh_terms: Callable[[Mapping[str, float]], dict[str, float]] | None = None
    """Factors of the loss terms, from their means over the global batch; constants to gradients."""
    needs_keys: bool = False
    """Whether batches must carry sample ids."""
    needs_delays: bool = False
    """Whether batches must carry how long events took and were waited for, and what is a fake
    negative."""
    check_samples: Callable[[Samples], None] | None = None
    """Raises InputError where samples are labelled by rules that the loss does not hold for."""


@dataclass(frozen=True)
class Method:
    """Everything that tells one method from another."""

    networks: Mapping[str, NetworkSpec]
    stages: tuple[Stage, ...]
    predict: Callable[[Heads], Prediction] = field(default=predict_by_name)

    def __post_init__(self) -> None:
        trained = [name for stage in self.stages for name in stage.trains]
        assert sorted(trained) == sorted(self.networks), "every network is trained in one stage"


def options_of(method: str) -> tuple[str, ...]:
    """The names of the options that a method uses."""
    module: Any = import_module(f"esmm_dist.model.methods.{method}")
    options: tuple[str, ...] = module.OPTIONS
    return options


def method_of(model: Model, seed: int) -> Method:
    """The method that a config names.

    Args:
        seed: of what the method draws.

    Raises:
        InputError: an option is set that the method does not use, or its layers are too few.
    """
    module: Any = import_module(f"esmm_dist.model.methods.{model.method}")
    for option, value in model.options:
        default = type(model.options).model_fields[option].default
        if value != default and option not in module.OPTIONS:
            used = ", ".join(module.OPTIONS) or "none"
            raise InputError(
                f"model.options.{option} = {value!r}: the method {model.method} does not use it "
                f"(it uses {used}): leave it out"
            )
    method: Method = module.make(model.options, seed)
    num_shared = max(spec.num_shared_layers for spec in method.networks.values())
    if num_shared > len(model.hidden_units):
        raise InputError(
            f"model.hidden_units = {list(model.hidden_units)}: the method {model.method} shares "
            f"the first {num_shared} layers: declare at least as many"
        )
    return method


def over_all_impressions(method: Method, unclicked_rate: float) -> Method:
    """The same method, trained without weights on samples of which only a share of the un-clicked
    was kept: what it predicts is put right (contract.unclicked)."""
    shift = math.log(unclicked_rate)

    def predict(heads: Heads) -> Prediction:
        prediction = method.predict(heads)
        if prediction.ctr_logit_B is None:
            return prediction
        return prediction._replace(ctr_logit_B=prediction.ctr_logit_B + shift)

    return replace(method, predict=predict)
