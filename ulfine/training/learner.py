"""One learner for every trained method: an encoder, a linear classifier, and ULFine's text classifier if asked for."""

import torch
from torch import Tensor, nn

from ulfine.methods.dlf import fused
from ulfine.methods.fixmatch import PseudoLabels, adjusted, distribution_aligned, powered
from ulfine.methods.heads import Constant, used
from ulfine.methods.losses import Step, weighted
from ulfine.methods.paf import PrototypeFitting
from ulfine.methods.prior import PriorEstimate
from ulfine.methods.rivals.base import Beginning, Weak
from ulfine.methods.rivals.kinds import KINDS, make_rival
from ulfine.models.classifiers import CosineClassifier
from ulfine.params.method import Method
from ulfine.params.train import Train
from ulfine.training.batches import Batch
from ulfine.training.start import Start
from ulfine.training.tuning import Tuning, tuning_of


class Learner(nn.Module):
    """Features, logits and losses of one method.

    Args:
        start: encoder, linear classifier, text prototypes, prior.
        method: which parts of ULFine take part.
        train: the constants of the losses.
        pool: unlabeled pictures.
    """

    def __init__(self, start: Start, method: Method, train: Train, pool: int = 0) -> None:
        super().__init__()
        self.encoder, self.linear = start.encoder, start.linear
        self.method, self.options, self.tuning = method, train, tuning_of(method)
        self.register_buffer("log_prior", start.log_prior, persistent=False)
        self.heads = start.text is not None and start.text.ndim > 2
        shape = start.text.shape[:-1] if self.heads else start.log_prior.shape
        self.asks_prior = used(train.unlabeled_adjustment)  # asked of a tensor in a step, a GPU would be waited for
        self.prior = PriorEstimate(shape, train.prior_decay)
        learnable = method.paf is not None and method.paf.prototypes == "learnable"
        self.text = CosineClassifier(start.text, train.scale, learnable) if method.dlf else None
        self.fitting = PrototypeFitting(start.text, method.paf) if method.paf else None
        self.rival = make_rival(method.rival, Beginning(train, start.linear, start.text, start.log_prior, pool))
        if not self.rival.trains_linear:
            self.linear.requires_grad_(False)
        self.weights = train.losses | (_prototype_losses(method) if learnable else {})
        self.spares_views = _spares_views(self.tuning, train) and not self.rival.needs_all

    def logits(self, features: Tensor) -> dict[str, Tensor]:
        """(..., B, K) logits of each classifier: linear, with DLF text and fused, those of a rival."""
        linear = self.linear(features)
        own = self.rival.logits(features)
        if self.text is None:
            return {"linear": linear} | own
        text = self.text(features)
        dlf = self.method.dlf
        return {"linear": linear, "text": text, "fused": fused(text, linear, dlf.eta, dlf.align)} | own

    def all_logits(self, features: Tensor) -> dict[str, Tensor]:
        """`logits`, and of prototypes that PAF fits also `initial`: by the text's own, as they were before."""
        found = self.logits(features)
        if self.fitting is None or self.text is None:
            return found
        return found | {"initial": self.text.scale * features @ self.fitting.text.mT}

    def decides(self, where: str) -> str:
        """The classifier whose logits count in `pseudo_labels` or in `test`."""
        return decides(self.method, where)

    def forward(self, batch: Batch, targets: PseudoLabels | None = None) -> Step:
        """Compute what the losses need; pseudo-labels are made without a gradient, unless given."""
        if targets is None and not self.tuning.from_scratch:
            targets = self.targets(batch)
        kept = targets.kept.nonzero().squeeze(1) if targets is not None and self.spares_views else None
        features, weak = self._features(batch, kept)
        linear, count = self.linear(features), batch.labels.shape[-1]
        labeled = features[..., :count, :]
        prior, of_unlabeled = self.rival.priors(self.log_prior, self._unlabeled_prior())
        step = {
            "options": self.options,
            "labels": self._shared(batch.labels, 1),
            "labeled": {"linear": linear[..., :count, :]} | ({} if self.text is None else {"text": self.text(labeled)}),
            "features": self._shared(labeled.detach(), 2),
            "of_labeled": labeled,
            "prior": prior,
            "prototypes": None if self.text is None else self.text.weight,
            "passed": features.shape[-2] + (0 if weak is None else weak.shape[-2]),
        }
        if batch.weak is None:
            return Step(**step)
        if targets is None:
            targets = self._targets(weak, batch)
        strong = linear[..., count:, :]
        if kept is not None:
            strong = strong.new_zeros(len(batch.strong), strong.shape[-1]).index_copy(0, kept, strong)
        of_strong = features[..., count:, :]
        return Step(**step, strong=strong, of_strong=of_strong, targets=targets, unlabeled_prior=of_unlabeled)

    @torch.no_grad()
    def targets(self, batch: Batch) -> PseudoLabels | None:
        """The pseudo-labels of a batch; None without unlabeled pictures, and from scratch: all views pass at once.

        Weak views go by themselves: with the others they would take part in the backward pass, for nothing.
        """
        if batch.weak is None or self.tuning.from_scratch:
            return None
        return self._targets(self.encoder(batch.weak), batch)

    def losses(self, step: Step) -> dict[str, Tensor]:
        """Each loss of the method, weighted."""
        return weighted(step, self.weights, self.rival.losses(step))

    def _shared(self, values: Tensor, axes: int) -> Tensor:
        """Values that all heads share, with 1 for their number before the last `axes` axes."""
        return values.unsqueeze(-1 - axes) if self.heads else values

    def _features(self, batch: Batch, kept: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Features of labeled and strong views in a row, and from scratch also of weak ones, without a gradient.

        kept: (n,) positions of the strong views that pass; None: all.
        """
        if batch.weak is None:
            return self.encoder(batch.labeled), None
        if self.tuning.from_scratch:  # batch statistics must be those of all views at once, as in FixMatch
            features = self.encoder(torch.cat([batch.labeled, batch.strong, batch.weak]))
            together, of_weak = features.split([len(features) - len(batch.weak), len(batch.weak)])
            return together, of_weak.detach()
        strong = batch.strong if kept is None else batch.strong[kept]
        return self.encoder(torch.cat([batch.labeled, strong], self.tuning.batch_axis)), None

    @torch.no_grad()
    def _targets(self, weak: Tensor, batch: Batch) -> PseudoLabels:
        """Pseudo-labels of (..., U, D) weak features of a batch."""
        logits = self._adjusted(self.logits(weak)[self.decides("pseudo_labels")])
        self.prior.observe(logits.softmax(dim=-1), self._shared(batch.own, 1))
        return self.rival.targets(Weak(self._read(logits), logits, weak, batch.pictures, batch.own))

    def pool_logits(self, features: Tensor) -> dict[str, Tensor]:
        """`all_logits` as pseudo-labels would be read from them; `pseudo` are those that a step reads."""
        found = {name: self._adjusted(logits) for name, logits in self.all_logits(features).items()}
        read = {name: self._read(logits) for name, logits in found.items()}
        decides = self.decides("pseudo_labels")
        return read | {"pseudo": self.rival.final(Weak(read[decides], found[decides], features))}

    def unlabeled_share(self) -> Tensor:
        """(..., K) estimated prior of the unlabeled pictures: a rival's own, or P_u."""
        own = self.rival.estimate()
        return self.prior.share() if own is None else own

    def _read(self, logits: Tensor) -> Tensor:
        return self.rival.read(self._aligned(logits), self.prior)

    def _adjusted(self, logits: Tensor) -> Tensor:
        return adjusted(logits, self.log_prior, self.options.pseudo_label_adjustment)

    def _aligned(self, logits: Tensor) -> Tensor:
        power = self.options.distribution_alignment
        if power == "none":
            return logits
        return distribution_aligned(logits, self.prior.log(), powered(self.log_prior, power))

    def _unlabeled_prior(self) -> Tensor:
        estimated = self.options.unlabeled_prior == "estimated" and self.asks_prior
        return self.prior.log() if estimated else self.log_prior

    @torch.no_grad()
    def adapt(self, number: int, step: Step) -> None:
        """After the optimizer: what a rival remembers; PAF observes, and moves the prototypes every so many steps."""
        self.rival.adapt(number, step)
        if self.fitting is None:
            return
        self.fitting.observe(step.features, step.labels)
        if (number + 1) % self.method.paf.update_every == 0:
            self.text.weight.copy_(self.fitting.fit(self.text.weight, self.prior.share()))

    def classifiers(self) -> dict[str, Tensor]:
        """(..., K, D) rows of each classifier."""
        found = {"linear": self.linear.weight} | ({} if self.text is None else {"text": self.text.weight})
        return {name: weight.detach() for name, weight in found.items()}

    def trained(self) -> dict[str, Tensor]:
        """Everything that training changes: trained weights, batch statistics from scratch, and the state of PAF."""
        free = {name for name, parameter in self.named_parameters() if parameter.requires_grad}
        whole, mean = self.tuning.from_scratch, "encoder.mean"  # which is there where it moves
        return {
            name: value
            for name, value in self.state_dict().items()
            if whole or name in free or name == mean or not name.startswith("encoder.")
        }

    def trainable(self) -> int:
        """How many weights the optimizer changes."""
        return sum(parameter.numel() for parameter in self.parameters() if parameter.requires_grad)

    def parameter_groups(self) -> list[dict]:
        """Groups for the optimizer: the tower at its own rate when all of it is tuned, everything else at `lr`.

        Biases and norms make groups of their own where weight decay spares them, and so do blocks with `layer_decay`.
        """
        options, groups, rates = self.options, {}, self._tower_rates()
        for parameter in self.parameters():
            if parameter.requires_grad:
                spared = parameter.ndim < 2 and not options.decay_vectors
                rate = rates.get(id(parameter))
                key = (rate is not None, spared, options.lr if rate is None else rate)
                groups.setdefault(key, []).append(parameter)
        return [
            {"params": members, "lr": rate, "weight_decay": 0.0 if spared else options.weight_decay}
            for (_, spared, rate), members in sorted(groups.items(), key=lambda item: item[0][:2])
        ]

    def _tower_rates(self) -> dict[int, float]:
        """The rate of each parameter of a tower that is tuned as a whole, by its id."""
        if not self.tuning.own_rate:
            return {}
        rate, decay = self.method.tower_lr, self.method.layer_decay
        if decay is None:
            return {id(parameter): rate for parameter in self.encoder.parameters()}
        return {id(parameter): rate * decay**distance for parameter, distance in self.encoder.distances()}


def decides(method: Method, where: str) -> str:
    """The classifier whose logits count in `pseudo_labels` or in `test`."""
    if method.dlf and where in method.dlf.use_in:
        return "fused"
    own = KINDS[method.rival.kind].decides if method.rival else None
    return own if own and where == "test" else "linear"


def _spares_views(tuning: Tuning, train: Train) -> bool:
    """Whether strong views pass only where their pseudo-label is kept, since the loss leaves out the others.

    Not where another loss asks for them, or a moving mean; nor in a compiled tower, which has one shape; nor cached
    ones, which cost nothing.
    """
    asked = any(used(train.losses.get(name, 0)) for name in ("soft_rest", "entropy"))
    passes = not (tuning.cached or tuning.from_scratch)
    return passes and not asked and train.center_decay is None and not train.compile


def _prototype_losses(method: Method) -> dict[str, Constant]:
    by_loss = method.paf.orthogonality_by == "loss" and used(method.paf.orthogonality)
    return {"text": 1.0} | ({"orthogonality": method.paf.orthogonality} if by_loss else {})
