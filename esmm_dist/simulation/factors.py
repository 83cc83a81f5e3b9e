"""Latent factors of users and items, and the directions in which clicks and conversions use them.

Every user and item has three vectors of d factors: shared, of clicks alone, of conversions alone.
They are whitened under popularity, so that what is declared as shares of variance and as
correlation holds in the world drawn and not only on average over worlds (docs/simulation.md).

Shape legend: M members of a population; D = 3 d factors, in the order clicks alone, shared,
conversions alone; E = 2 d factors that one task uses: clicks the first two kinds, conversions the
last two; N rows.
"""

from dataclasses import dataclass

import numpy as np

from esmm_dist.contract.simulation import Simulation
from esmm_dist.simulation.popularity import Popularity
from esmm_dist.simulation.streams import Floats, Integers, Purpose, SmallFloats, stream

ROWS_AT_A_TIME = 65_536


@dataclass(frozen=True)
class Members:
    """A population with its factors and what its members add to the logits by themselves."""

    popularity: Popularity
    factor_MD: SmallFloats
    click_main_M: SmallFloats
    conversion_main_M: SmallFloats


@dataclass(frozen=True)
class Tastes:
    """What users bring to the inner products with items' factors; scaled as the logits use it."""

    click_ME: SmallFloats
    conversion_ME: SmallFloats


def draw_members(simulation: Simulation, purpose: Purpose) -> Members:
    """Users or items; `purpose` says which."""
    is_users = purpose is Purpose.USER_FACTORS
    declared = simulation.users if is_users else simulation.items
    popularity = Popularity(simulation.scaled(declared.count), declared.zipf_exponent)
    num_factors = simulation.num_factors
    rng = stream(simulation.seed, purpose)
    factor_MD = rng.standard_normal((popularity.count, 3 * num_factors), np.float32)
    whiten(factor_MD, popularity.shares())
    variance = simulation.signal.user if is_users else simulation.signal.item
    direction_3d = rng.standard_normal((3, num_factors))
    direction_3d /= np.linalg.norm(direction_3d, axis=1, keepdims=True)
    own, shared = np.sqrt(1 - simulation.sharing), np.sqrt(simulation.sharing)
    of_clicks, of_both, of_conversions = direction_3d
    turned = rotated(of_both[None].astype(np.float32), angle_of(simulation))[0]
    click_E = np.sqrt(variance) * np.concatenate([own * of_clicks, shared * of_both])
    conversion_E = np.sqrt(variance) * np.concatenate([shared * turned, own * of_conversions])
    return Members(
        popularity, factor_MD,
        product(factor_MD[:, :2 * num_factors], click_E.astype(np.float32)[None]),
        product(factor_MD[:, num_factors:], conversion_E.astype(np.float32)[None]),
    )


def tastes_of(simulation: Simulation, users: Members) -> Tastes:
    """Users' sides of the two inner products."""
    num_factors = simulation.num_factors
    scale = np.sqrt(simulation.signal.interaction / num_factors)
    own, shared = scale * np.sqrt(1 - simulation.sharing), scale * np.sqrt(simulation.sharing)
    of_clicks, of_both, of_conversions = np.split(users.factor_MD, 3, axis=1)
    turned = rotated(of_both, angle_of(simulation))
    return Tastes(
        np.concatenate([of_clicks * own, of_both * shared], axis=1, dtype=np.float32),
        np.concatenate([turned * shared, of_conversions * own], axis=1, dtype=np.float32),
    )


def angle_of(simulation: Simulation) -> float:
    """The angle between clicks' and conversions' use of the shared factors, in radians: with it
    the logits' correlation, sharing * cos(angle), is the declared selection."""
    if simulation.sharing == 0:
        return 0.0
    return float(np.arccos(np.clip(simulation.selection / simulation.sharing, -1, 1)))


def rotated(vector_MX: SmallFloats, angle: float) -> SmallFloats:
    """Turns vectors by an angle in every plane of neighbouring factors (0, 1), (2, 3), …: the
    inner product of a vector with itself turned is its square times the angle's cosine."""
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    turned_MX = np.empty_like(vector_MX)
    turned_MX[:, 0::2] = cos * vector_MX[:, 0::2] - sin * vector_MX[:, 1::2]
    turned_MX[:, 1::2] = sin * vector_MX[:, 0::2] + cos * vector_MX[:, 1::2]
    return turned_MX


def product(left_NE: SmallFloats, right_NE: SmallFloats) -> SmallFloats:
    """The inner products row by row, (N,). Unlike a BLAS, its sums know no number of threads."""
    right_NE = np.broadcast_to(right_NE, left_NE.shape)
    found: SmallFloats = np.einsum("ne,ne->n", left_NE, right_NE)
    return found


def take(table_MX: SmallFloats, place_N: Integers) -> SmallFloats:
    """Rows of a table, (N, X)."""
    return np.take(table_MX, place_N, axis=0)


def whiten(factor_MD: SmallFloats, share_M: Floats) -> None:
    """Makes the mean 0 and the covariance 1 under the shares, in place.

    Raises:
        ValueError: fewer members than factors.
    """
    mean_D, covariance_DD = _moments(factor_MD, share_M)
    try:
        inverse_DD = np.linalg.inv(np.linalg.cholesky(covariance_DD))
    except np.linalg.LinAlgError:
        raise ValueError(
            f"{len(share_M)} members have no {factor_MD.shape[1]} independent factors"
        ) from None
    for start in range(0, len(factor_MD), ROWS_AT_A_TIME):
        rows = slice(start, start + ROWS_AT_A_TIME)
        centred_ND = factor_MD[rows] - mean_D
        factor_MD[rows] = np.einsum("nd,ed->ne", centred_ND, inverse_DD)


def _moments(factor_MD: SmallFloats, share_M: Floats) -> tuple[Floats, Floats]:
    num_factors = factor_MD.shape[1]
    mean_D, square_DD = np.zeros(num_factors), np.zeros((num_factors, num_factors))
    for start in range(0, len(factor_MD), ROWS_AT_A_TIME):
        part_ND = factor_MD[start:start + ROWS_AT_A_TIME].astype(np.float64)
        weighted_ND = part_ND * share_M[start:start + ROWS_AT_A_TIME, None]
        mean_D += weighted_ND.sum(axis=0)
        square_DD += np.einsum("nd,ne->de", weighted_ND, part_ND)
    return mean_D, square_DD - np.outer(mean_D, mean_D)
