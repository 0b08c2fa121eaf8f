"""The claims of the paper's abstract (arXiv 2505.05062), each as a test over runs that were paired by seed.

A difference is estimated from the seeds that both methods have. Its interval over seeds is Student's, of n - 1 degrees
of freedom; below three seeds nothing is decided, as a bootstrap over so few covers far too little. For accuracies a
second interval says how much the test pictures matter: a bootstrap that draws pictures within each class, the same for
every method. A verdict needs both. Intervals are at 1 - alpha / number of tests (Bonferroni).
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from ulfine.evaluation.intervals import MEMBERS, SEEDS, bootstrap_interval, contributions, paired, t_interval
from ulfine.evaluation.loaded import Loaded as Run
from ulfine.params.claims import Claims

TENTH = math.log10(0.1)
Role = Literal["lp", "lft", "fft", "ulfine", "scratch", "rival"]
Verdict = Literal["holds", "fails", "undecided", "not run"]


@dataclass(frozen=True)
class Claim:
    """`quantity` of `first` minus that of `second` is above, or below, a bound."""

    name: str
    sentence: str
    first: Role
    second: Role
    quantity: str
    direction: Literal["above", "below"] = "above"
    bound: float | None = 0.0  # None: the margin of equivalence


CLAIMS = (
    Claim("fft_below_scratch", "FFT does worse than training from scratch", "fft", "scratch", "accuracy", "below"),
    Claim("lp_raises_overall", "LP raises the overall accuracy against scratch", "lp", "scratch", "accuracy"),
    Claim("lft_raises_overall", "LFT raises the overall accuracy against scratch", "lft", "scratch", "accuracy"),
    Claim("lp_not_tail", "LP does not raise the tail against scratch", "lp", "scratch", "acc_tail", "below", None),
    Claim("lft_not_tail", "LFT does not raise the tail against scratch", "lft", "scratch", "acc_tail", "below", None),
    Claim("lp_more_false", "LP makes more false pseudo-labels than LFT", "lp", "lft", "pl_false"),
    Claim(
        "lft_overconfident", "LFT is more confident in its false pseudo-labels than LP",
        "lft", "lp", "pl_wrong_confidence",
    ),
    Claim("ulfine_overall", "ULFine is better than LFT overall", "ulfine", "lft", "accuracy"),
    Claim("ulfine_tail", "ULFine is better than LFT on the tail", "ulfine", "lft", "acc_tail"),
    Claim("ulfine_above_rivals", "ULFine is better than the best rival overall", "ulfine", "rival", "accuracy"),
    Claim(
        "tenth_of_operations", "ULFine takes at most a tenth of the operations of scratch",
        "ulfine", "scratch", "log10_flops", "below", TENTH,
    ),
    Claim(
        "tenth_of_seconds", "ULFine takes at most a tenth of the seconds of scratch",
        "ulfine", "scratch", "log10_seconds", "below", TENTH,
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Finding:
    """A claim on one data set, split and backbone: its row in claims.json."""

    claim: str
    sentence: str
    verdict: Verdict
    reason: str  # of a verdict that no interval gave
    task: dict[str, str]
    family: str  # of claims.families
    methods: list[str]
    quantity: str
    bound: float | None
    seeds: list[int]
    values: list[list[float]]  # of the first and of the second method, by seed
    differences: list[float]
    mean: float | None
    interval: list[float] | None  # over seeds
    bootstrap: list[float] | None  # over test pictures
    sources: list[list[str]]  # metrics files of the first and of the second method


@dataclass(frozen=True)
class Case:
    """A place to test the claims: one data set, split and backbone, one family of methods."""

    task: dict[str, str]
    family: str  # of claims.families
    methods: dict[str, str]  # by role
    runs: dict[str, list[Run]]  # by role

    def names(self, claim: Claim) -> list[str]:
        """The two methods that a claim compares."""
        return [self.methods[claim.first], self.methods[claim.second]]


def verdicts(tasks: list[tuple[dict[str, str], Sequence[Run]]], options: Claims) -> dict[str, Any]:
    """claims.json.

    Args:
        tasks: data set, split and backbone by name, and the runs there.
        options: which methods are meant; level, margin and draws.
    """
    cases = [
        case_of(task, runs, family, methods, options.rivals()[family])
        for task, runs in tasks
        for family, methods in options.methods().items()
    ]
    pairs = [(claim, case) for case in cases for claim in CLAIMS if {claim.first, claim.second} <= case.methods.keys()]
    reasons = [why_not(claim, case, options) for claim, case in pairs]
    tests = max(1, reasons.count(None))
    alpha = (1 - options.level) / tests
    found = [
        _finding(claim, case, options, alpha, reason) for (claim, case), reason in zip(pairs, reasons, strict=True)
    ]
    stated = {
        "families": options.titles(),
        "level": options.level,
        "margin": options.margin,
        "draws": options.draws,
        "tests": tests,
    }
    return stated | {"claims": [asdict(each) for each in found]}


def case_of(task: dict[str, str], runs: Sequence[Run], family: str, methods: dict[str, str], rivals: list[str]) -> Case:
    """A case; its rival is the best of `rivals` on the test pictures, which favours it.

    It is chosen among those that share most seeds with ULFine, by these.
    """
    seeds = {run.names["seed"] for run in runs if run.method == methods["ulfine"]}
    shared = {
        name: [run.metrics["accuracy"] for run in runs if run.method == name and run.names["seed"] in seeds]
        for name in rivals
    }
    if rivals:
        best = max(rivals, key=lambda name: (len(shared[name]), np.mean(shared[name] or [0])))
        methods = methods | {"rival": best}
    return Case(task, family, methods, by_role(runs, methods))


def by_role(runs: Sequence[Run], methods: dict[str, str]) -> dict[str, list[Run]]:
    """The runs of the method that stands for each role."""
    return {role: [run for run in runs if run.method == method] for role, method in methods.items()}


def why_not(claim: Claim, case: Case, options: Claims) -> str | None:
    """The reason why a claim cannot be tested on these runs; None where it can."""
    absent = [case.methods[role] for role in (claim.first, claim.second) if not case.runs[role]]
    if absent:
        return f"{' and '.join(absent)} {'was' if len(absent) == 1 else 'were'} not run"
    pairs = _pairs(claim, case)
    every = [run for pair in pairs for run in pair]
    curves = [run.metrics.get("validation_curve") or [] for _, run in pairs] if claim.second == "scratch" else []
    reasons = {
        "no seed in common": not pairs,
        f"{claim.quantity} is unknown": any(_value(claim, run) is None for run in every),
        "trained on different devices": claim.quantity == "log10_seconds" and len({_device(run) for run in every}) > 1,
        "scratch has no validation curve that shows whether it still learns": any(len(curve) < 3 for curve in curves),
    }
    for reason, applies in reasons.items():
        if applies:
            return reason
    return "the validation curve of scratch still rises" if curves and rising(curves) > options.rising else None


def rising(curves: list[list[dict[str, float]]]) -> float:
    """The rise of validation curves from their second third to their last, averaged over runs."""
    gains = []
    for curve in curves:
        third = max(1, len(curve) // 3)
        values = [point["accuracy"] for point in curve]
        gains.append(np.mean(values[-third:]) - np.mean(values[-2 * third : -third]))
    return float(np.mean(gains))


def verdict(intervals: list[list[float] | None], bound: float, direction: str) -> Verdict:
    """holds: every interval lies beyond the bound, on the side claimed; fails: on the other one."""
    if any(each is None for each in intervals):
        return "undecided"
    above, below = (all(low > bound for low, _ in intervals), all(high < bound for _, high in intervals))
    if direction == "below":
        above, below = below, above
    return "holds" if above else "fails" if below else "undecided"


def _pairs(claim: Claim, case: Case) -> list[tuple[Run, Run]]:
    return paired(*({run.names["seed"]: run for run in case.runs[role]} for role in (claim.first, claim.second)))


def _device(run: Run) -> str:
    return run.record["device"]


def _value(claim: Claim, run: Run) -> float | None:
    match claim.quantity:
        case "log10_flops" | "log10_seconds":
            cost = run.record[claim.quantity.removeprefix("log10_")]
            return math.log10(cost) if cost else None
        case "pl_false":
            right = run.metrics["pl_accuracy"]
            return None if right is None else 1 - right
    return run.metrics[claim.quantity]


def _finding(claim: Claim, case: Case, options: Claims, alpha: float, reason: str | None) -> Finding:
    bound = options.margin if claim.bound is None else claim.bound
    about = {"claim": claim.name, "sentence": claim.sentence, "task": case.task, "family": case.family}
    about |= {"methods": case.names(claim), "bound": bound, "quantity": claim.quantity}
    if reason is not None:
        unknown = dict.fromkeys(("mean", "interval", "bootstrap"))
        nothing = {"seeds": [], "values": [[], []], "differences": [], "sources": [[], []]}
        return Finding(**about, **unknown, **nothing, verdict="not run", reason=reason)
    pairs = _pairs(claim, case)
    values = [[_value(claim, run) for run in side] for side in zip(*pairs, strict=True)]
    differences = [first - second for first, second in zip(*values, strict=True)]
    intervals = [t_interval(differences, alpha)]
    if claim.quantity in MEMBERS:
        added, labels = contributions([(first.metrics, second.metrics) for first, second in pairs], claim.quantity)
        intervals.append(bootstrap_interval(added, labels, alpha, options.draws))
    few = f"{len(pairs)} of the {SEEDS} seeds that a verdict needs" if len(pairs) < SEEDS else ""
    return Finding(
        **about,
        verdict=verdict(intervals, bound, claim.direction),
        reason=few,
        seeds=[first.names["seed"] for first, _ in pairs],
        values=values,
        differences=differences,
        mean=float(np.mean(differences)),
        interval=intervals[0],
        bootstrap=intervals[1] if len(intervals) > 1 else None,
        sources=[[run.metrics_file.as_posix() for run in side] for side in zip(*pairs, strict=True)],
    )
