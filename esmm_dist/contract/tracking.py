"""Whether and where runs are tracked: the config's section `tracking`.

Values only: esmm_dist.track does it.
"""

from esmm_dist.contract.features import Section


class Tracking(Section):
    """An MLflow server, or whatever else MLflow writes to, in which runs are compared."""

    uri: str | None = None
    """As MLflow takes it, such as https://mlflow.shop.example; none: what MLFLOW_TRACKING_URI
    says."""
    experiment: str | None = None
    """The experiment that the runs stand under; none: the config's name."""
