"""Values of the fields: cuts of hidden scores, which are directions of the factors and noise.

A value says about where on its direction a user, an item or a pair lies. The numbers of values are
in no order, and noise keeps any number of fields from telling the factors exactly.

Shape legend: M members; D factors; N rows; C values of a field.
"""

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from esmm_dist.contract.simulation import SimulatedField, Simulation
from esmm_dist.simulation.factors import Members, product
from esmm_dist.simulation.identifiers import scattered
from esmm_dist.simulation.popularity import Popularity
from esmm_dist.simulation.streams import Floats, Integers, Mask, Purpose, SmallFloats, stream

Values = NDArray[np.int32]


@dataclass(frozen=True)
class Cuts:
    """A field's values as ranges of a score that is standard normal."""

    edge_C: Floats
    """Upper edges of the ranges, without the last, which has none."""
    number_C: Values
    """What the logs call the value of each range."""
    informativeness: float
    null_share: float

    def places(self, score_N: SmallFloats, rng: Generator) -> Integers:
        """The ranges that scores fall into once noise has been added."""
        noise_N = rng.standard_normal(score_N.shape, np.float32)
        loading = np.float32(self.informativeness)
        noisy_N = loading * score_N + np.sqrt(1 - loading**2) * noise_N
        return np.searchsorted(self.edge_C, noisy_N)

    def nulls(self, shape: int | tuple[int, ...], rng: Generator) -> Mask | None:
        """Where the field is unknown; None: nowhere."""
        return rng.random(shape) < self.null_share if self.null_share else None


def cuts_of(simulation: Simulation, field: SimulatedField, rng: Generator) -> Cuts:
    """Where a field's values end, their shares falling as declared, in an order of chance."""
    count = simulation.scaled(field.cardinality)
    share_C = rng.permutation(Popularity(count, field.zipf_exponent).shares())
    reached_C = np.clip(np.cumsum(share_C)[:-1], 1e-12, 1 - 1e-12)
    inverse = NormalDist().inv_cdf
    return Cuts(np.array([inverse(p) for p in reached_C.tolist()]),
                value_numbers(simulation, field), field.informativeness, field.null_share)


def value_numbers(simulation: Simulation, field: SimulatedField) -> Values:
    """What the logs call a field's values, (C,)."""
    place = 2 + simulation.fields.index(field)
    numbers = scattered(simulation.seed, simulation.scaled(field.cardinality), place)
    return numbers.astype(np.int32)


@dataclass(frozen=True)
class Column:
    """A field's value of every member of a population, or of every row."""

    value_M: Values
    is_null_M: Mask | None

    def of(self, place_N: Integers) -> "Column":
        """The column of some members."""
        nulls = None if self.is_null_M is None else self.is_null_M[place_N]
        return Column(np.take(self.value_M, place_N), nulls)


def member_column(
    simulation: Simulation, field: SimulatedField, members: Members
) -> tuple[Column, Integers]:
    """A field of users or items, and the places of its values before they are given numbers."""
    purpose = Purpose.USER_FIELDS if field.group == "user" else Purpose.ITEM_FIELDS
    rng = stream(simulation.seed, purpose, simulation.fields.index(field))
    cuts = cuts_of(simulation, field, rng)
    place_M = cuts.places(score_of(members, rng), rng)
    return Column(cuts.number_C[place_M], cuts.nulls(len(place_M), rng)), place_M


def score_of(members: Members, rng: Generator) -> SmallFloats:
    """Every member's place on a direction of the factors drawn by chance: mean 0, variance 1."""
    direction_D = rng.standard_normal(members.factor_MD.shape[1], np.float32)
    direction_D /= np.linalg.norm(direction_D)
    return product(members.factor_MD, direction_D[None])


@dataclass(frozen=True)
class ContextField:
    """A property of the moment: independent of user and item, with an effect on both logits."""

    popularity: Popularity
    number_C: Values
    null_share: float
    click_effect_C: SmallFloats
    """Mean 0 and variance 1 over impressions; so is the conversions'."""
    conversion_effect_C: SmallFloats
    """Correlated with the clicks' as the logits are."""

    def column(self, place_N: Integers, rng: Generator) -> Column:
        """The field of rows, from the places of its values."""
        is_null_N = rng.random(len(place_N)) < self.null_share if self.null_share else None
        return Column(self.number_C[place_N], is_null_N)


def context_field(simulation: Simulation, field: SimulatedField) -> ContextField:
    """Draws a context field's effects."""
    rng = stream(simulation.seed, Purpose.CONTEXT_FIELDS, simulation.fields.index(field))
    popularity = Popularity(simulation.scaled(field.cardinality), field.zipf_exponent)
    share_C = popularity.shares()
    effect_C, other_C = rng.standard_normal((2, popularity.count))
    effect_C = _standardised(effect_C, share_C)
    other_C = _standardised(other_C, share_C)
    other_C = _standardised(other_C - (share_C * effect_C * other_C).sum() * effect_C, share_C)
    correlation = simulation.selection
    mixed_C = correlation * effect_C + np.sqrt(1 - correlation**2) * other_C
    return ContextField(popularity, value_numbers(simulation, field), field.null_share,
                        effect_C.astype(np.float32), mixed_C.astype(np.float32))


def _standardised(effect_C: Floats, share_C: Floats) -> Floats:
    centred_C = effect_C - (share_C * effect_C).sum()
    deviation: float = np.sqrt((share_C * centred_C**2).sum())
    return centred_C / deviation


@dataclass(frozen=True)
class CrossField:
    """A property of a pair of user and item: a cut of their two inner products, mixed."""

    cuts: Cuts
    click_weight: float
    conversion_weight: float

    def column(self, click_N: SmallFloats, conversion_N: SmallFloats, rng: Generator) -> Column:
        """The field of rows, from their inner products at variance 1."""
        score_N = np.float32(self.click_weight) * click_N
        score_N += np.float32(self.conversion_weight) * conversion_N
        value_N = self.cuts.number_C[self.cuts.places(score_N, rng)]
        return Column(value_N, self.cuts.nulls(len(value_N), rng))


def cross_field(simulation: Simulation, field: SimulatedField) -> CrossField:
    """Draws how much a cross field tells of clicks and how much of conversions."""
    rng = stream(simulation.seed, Purpose.CROSS_FIELDS, simulation.fields.index(field))
    angle = rng.uniform(0, np.pi / 2)
    click, conversion = np.cos(angle), np.sin(angle)
    deviation = np.sqrt(1 + 2 * simulation.selection * click * conversion)
    return CrossField(cuts_of(simulation, field, rng), float(click / deviation),
                      float(conversion / deviation))
