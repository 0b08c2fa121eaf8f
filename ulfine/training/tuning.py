"""The ways of tuning, as a training sees them; towers.py and scratch.py make the encoder itself."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Tuning:
    """The treatment of the encoder by a training."""

    cached: bool = False  # it changes nothing, so that the learner is given cached features in the place of pictures
    own_rate: bool = False  # it has a learning rate of its own, `tower_lr`
    from_scratch: bool = False  # no tower: batch statistics are learned, from all views in one pass, and are kept too

    @property
    def batch_axis(self) -> int:
        """The axis of the batch, in (..., B, D) features or (B, side, side, 3) pictures."""
        return -2 if self.cached else 0


TUNINGS = {  # by methods.<name>.tune
    "head": Tuning(cached=True),
    "adapters": Tuning(),
    "all": Tuning(own_rate=True),
    "scratch": Tuning(from_scratch=True),
}
