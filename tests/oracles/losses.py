"""ESMM's losses and their gradients from the formulas as they stand, in 60-digit arithmetic."""

from mpmath import mp, mpf  # type: ignore[import-untyped]

mp.dps = 60


def sigmoid(x: float) -> mpf:
    """1 / (1 + e^-x)."""
    return 1 / (1 + mp.exp(-mpf(x)))


def log_p_ctcvr(a: float, b: float) -> mpf:
    """log(sigmoid(a) sigmoid(b))."""
    return mp.log(sigmoid(a) * sigmoid(b))


def log_1m_p_ctcvr(a: float, b: float) -> mpf:
    """log(1 - sigmoid(a) sigmoid(b)); at logits of 110, 12 of the 60 digits are left of 1 - p."""
    return mp.log(1 - sigmoid(a) * sigmoid(b))


def ctcvr_loss(a: float, b: float, label: int) -> mpf:
    """CE(label, p_ctcvr)."""
    return -log_p_ctcvr(a, b) if label else -log_1m_p_ctcvr(a, b)


def ctcvr_gradient(a: float, b: float, label: int) -> tuple[mpf, mpf]:
    """d CE / da and d CE / db, by hand: dp/da = p (1 - sigmoid(a))."""
    p = sigmoid(a) * sigmoid(b)
    dloss_dp = -1 / p if label else 1 / (1 - p)
    return dloss_dp * p * sigmoid(-a), dloss_dp * p * sigmoid(-b)


def click_loss(a: float, label: int) -> mpf:
    """CE(label, p_ctr)."""
    return -mp.log(sigmoid(a if label else -a))
