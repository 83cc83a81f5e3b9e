"""Random numbers by purpose and place."""

import numpy as np

from esmm_dist.simulation.streams import Purpose, stream


def numbers(*arguments: int) -> list[int]:
    seed, purpose, *place = arguments
    found: list[int] = stream(seed, Purpose(purpose), *place).integers(2**63, size=8).tolist()
    return found


def test_a_place_always_has_the_same_numbers() -> None:
    assert numbers(3, Purpose.EVENTS, 5, 7) == numbers(3, Purpose.EVENTS, 5, 7)


def test_seed_purpose_and_place_each_have_numbers_of_their_own() -> None:
    places = [(3, Purpose.EVENTS, 5, 7), (4, Purpose.EVENTS, 5, 7), (3, Purpose.LATE, 5, 7),
              (3, Purpose.EVENTS, 7, 5), (3, Purpose.EVENTS, 5, 8), (3, Purpose.EVENTS)]
    drawn = [tuple(numbers(*place)) for place in places]
    assert len(set(drawn)) == len(places)


def test_neighbouring_blocks_are_not_correlated() -> None:
    one, other = (stream(1, Purpose.EVENTS, 1, block).standard_normal(50_000) for block in (0, 1))
    assert abs(np.corrcoef(one, other)[0, 1]) < 4 / np.sqrt(50_000)
