"""DebiasPL (Wang et al., CVPR 2022, arXiv 2201.01490; frank-xwang/debiased-pseudo-labeling): less the estimated prior.

Pseudo-labels are read from z - tau log p, with p an EMA of the predictions before that (equation 4, P_u here). Its
marginal loss (equation 6) is the unlabeled loss with z + tau log p: `train.unlabeled_adjustment`.
"""

from torch import Tensor

from ulfine.methods.fixmatch import adjusted
from ulfine.methods.prior import PriorEstimate
from ulfine.methods.rivals.base import Beginning, Rival
from ulfine.params.rival import DebiasPL as Options


class DebiasPL(Rival):
    """Debiased pseudo-labels."""

    def __init__(self, options: Options, beginning: Beginning) -> None:
        super().__init__(beginning)
        self.options = options

    def read(self, logits: Tensor, prior: PriorEstimate) -> Tensor:
        """z - tau log P_u."""
        return adjusted(logits, prior.log(), self.options.tau)
