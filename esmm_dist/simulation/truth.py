"""True probabilities of an impression, with the hidden factor integrated out.

Given x an impression has the logits a (click) and b (conversion if clicked); the hidden factor u,
standard normal and outside x, moves them to a + |s| u and b + s u. So

    p(click | x)                 = E[sigmoid(a + |s| u)]
    p(conversion | do(click), x) = E[sigmoid(b + s u)]
    p(conversion | click, x)     = E[sigmoid(a + |s| u) sigmoid(b + s u)] / p(click | x)

over u, by Gauss-Hermite quadrature. Without u (s = 0) the last two are the same. It knows nothing
of windows: a conversion here is one that ever comes.

Shape legend: N impressions.
"""

from math import ceil, log, pi
from typing import NamedTuple

import numpy as np

from esmm_dist.simulation.streams import Floats

# The logistic function has its poles at i pi, so that the rule's error falls as
# exp(-2 pi sqrt(num_nodes) / |s|); tests compare with mpmath.
TOLERANCE = 1e-11
MIN_NODES = 16


class Probabilities(NamedTuple):
    """Of every impression, (N,)."""

    click_N: Floats
    conversion_do_click_N: Floats
    conversion_given_click_N: Floats


def probabilities(
    click_logit_N: Floats, conversion_logit_N: Floats, confounding: float
) -> Probabilities:
    """The three, within 1e-7.

    Args:
        confounding: s.
    """
    if confounding == 0:
        conversion_N = sigmoid(conversion_logit_N)
        return Probabilities(sigmoid(click_logit_N), conversion_N, conversion_N)
    click_N, conversion_N, both_N = np.zeros((3, len(click_logit_N)))
    for node, weight in zip(*_rule(confounding)):
        click_at_node_N = sigmoid(click_logit_N + abs(confounding) * node)
        conversion_at_node_N = sigmoid(conversion_logit_N + confounding * node)
        click_N += weight * click_at_node_N
        conversion_N += weight * conversion_at_node_N
        both_N += weight * click_at_node_N * conversion_at_node_N
    return Probabilities(click_N, conversion_N, both_N / click_N)


def sigmoid(logit_N: Floats) -> Floats:
    """1 / (1 + exp(-logit))."""
    found: Floats = 1 / (1 + np.exp(-np.clip(logit_N, -700, None)))
    return found


def _rule(confounding: float) -> tuple[list[float], list[float]]:
    """Nodes and weights of expectations over a standard normal."""
    needed = (abs(confounding) * -log(TOLERANCE) / (2 * pi)) ** 2
    nodes, weights = np.polynomial.hermite_e.hermegauss(max(MIN_NODES, ceil(needed)))
    return nodes.tolist(), (weights / weights.sum()).tolist()
