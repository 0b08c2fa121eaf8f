"""The ways of tuning, as a training sees them; towers.py and scratch.py make the encoder itself."""

from dataclasses import dataclass

from ulfine.params.method import Method


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


def tuning_of(method: Method) -> Tuning:
    """The treatment of the encoder by a method."""
    return Tuning(cached=method.cached, own_rate=method.tune == "all", from_scratch=method.tune == "scratch")
