"""What becomes of a trained model: the config's section `publish`.

Values only: `serving` writes bundles and switches aliases.
"""

from typing import Annotated

from pydantic import Field

from esmm_dist.contract.features import Section


class Publish(Section):
    """Where bundles lie, and what of a run they hold."""

    path: str = "bundles"
    """Bundles and their aliases lie in a folder of the config's name below it."""
    optimizer_state: bool = True
    """Whether a bundle holds what the optimizers remember, from which a later training may go on
    (train.warm_start). Without it a bundle of tables by Adam takes a third."""
    num_sample_rows: Annotated[int, Field(ge=1, le=10_000)] = 64
    """Rows kept with the trainer's own scores, for whoever loads the model elsewhere."""
