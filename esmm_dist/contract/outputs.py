"""The names of what a model gives: probabilities as they are served, and the logits behind them."""

PROBABILITIES = ("p_ctr", "p_cvr", "p_ctcvr")
"""After calibration."""
LOGITS = ("ctr_logit", "cvr_logit", "ctcvr_logit", "cvr_log_p")
"""Before calibration. A method has those that it predicts itself; `cvr_log_p` is log p_cvr, instead
of its logit, where p_cvr is a quotient that may exceed 1."""
OUTPUTS = (*PROBABILITIES, *LOGITS)
