"""The sections `tune` and `audit`: what is chosen before a comparison, and what an audit varies.

Values only; docs/comparison.md and docs/audit.md say what is made of them.
"""

from collections.abc import Collection, Iterator, Mapping
from random import Random
from typing import Annotated, Self

from pydantic import Field, model_validator

from esmm_dist.contract.features import Section
from esmm_dist.contract.method_options import MethodName, MethodOptions
from esmm_dist.contract.simulation import Rate

LearningRate = Annotated[float, Field(gt=0)]
Correlation = Annotated[float, Field(ge=-1, le=1)]


class LearningRates(Section):
    """One pair to be tried."""

    towers: LearningRate
    tables: LearningRate


class Tune(Section):
    """Learning rates and options chosen for each method before it is compared, by as many trials.

    The validation day is the last of train.days. Trials are trained on the days before it; what is
    compared then is trained on it too.
    """

    learning_rates: Annotated[tuple[LearningRates, ...], Field(min_length=2)]
    """Each method is trained once with each, with train.seed. The best by cvr_auc_click of the
    validation day is taken; by ctcvr_auc where a method predicts no CVR."""
    options: Mapping[str, Annotated[tuple[int | float, ...], Field(min_length=2)]] = {}
    """Values of model.options. Those that a method uses are dealt out to its trials, so that all
    values of an option are tried equally often; other methods do not see them."""

    @model_validator(mode="after")
    def _options_are_valid(self) -> Self:
        for name, values in self.options.items():
            for value in values:
                MethodOptions.model_validate({name: value})
        return self

    def options_of_trial(self, names: Collection[str], trial: int) -> Mapping[str, int | float]:
        """What a trial of a method is to try beside its learning rates: random search (Bergstra and
        Bengio 2012), in which each value of an option has its turn before any has a second.

        Args:
            names: of the options that the method uses.
            trial: its place among learning_rates.
        """
        dealt = {}
        for name, values in self.options.items():
            # By the option's name, so that methods which share it meet its values in one order.
            draw, turns = Random(name), trial // len(values) + 1
            order = [value for _ in range(turns) for value in draw.sample(values, len(values))]
            dealt[name] = order[trial]
        return {name: value for name, value in dealt.items() if name in names}


class Vary(Section):
    """Levels of the world of `simulate`, and of how long is trained in it: one key varied at a
    time, the others as they stand."""

    ctr: tuple[Rate, ...] = ()
    """Of simulate.rates.ctr."""
    selection: tuple[Correlation, ...] = ()
    sharing: tuple[Annotated[float, Field(ge=0, le=1)], ...] = ()
    confounding: tuple[Annotated[float, Field(ge=-4, le=4)], ...] = ()

    num_epochs: tuple[Annotated[int, Field(gt=0, le=1000)], ...] = ()
    """Of train.num_epochs, in the worlds as declared: `esmm` and `base` alone."""

    def levels(self) -> Iterator[tuple[str, float]]:
        """Every key with each of its levels."""
        for key, of_key in self:
            for level in of_key:
                yield key, level


class Audit(Section):
    """What esmm_dist.audit trains, and the worlds that it trains it in."""

    methods: Annotated[tuple[MethodName, ...], Field(min_length=1)] = (
        "esmm", "base", "aman", "escm2_ips", "dcmt",
    )
    """`esmm`, `base` and `aman`, with all un-clicked rows, are trained whatever stands here."""
    methods_where_varied: tuple[MethodName, ...] | None = None
    """In the worlds of `vary`; None: the same. The three are trained there too."""
    num_replicates: Annotated[int, Field(ge=1, le=100)] = 5
    """Of simulated logs: worlds drawn anew with another seed, and trainings with them. Of other
    logs: seeds of trainings."""
    vary: Vary = Vary()

    @model_validator(mode="after")
    def _predict_cvr(self) -> Self:
        for key in ("methods", "methods_where_varied"):
            if "ctcvr_direct" in (getattr(self, key) or ()):
                raise ValueError(f"{key}: ctcvr_direct predicts no CVR: leave it out")
        return self
