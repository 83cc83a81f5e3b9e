"""The methods by their names in the config; what a method is made of lies in its own file.

A method turns the logits of a batch into named loss sums: weighted by the rows' weights, not yet
divided. What is minimised is their total over all ranks, divided by the total weight.
"""

from collections.abc import Callable

from torch import Tensor

from esmm_dist.contract.batch import Batch
from esmm_dist.model.esmm import esmm_loss_sums
from esmm_dist.model.network import Logits

LossSums = Callable[[Logits, Batch], dict[str, Tensor]]

METHODS: dict[str, LossSums] = {"esmm": esmm_loss_sums}
