"""Verdicts on runs with known answers."""

import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tests.helpers.synthetic import OPTIONS, TASK, make_cell
from ulfine.evaluation.claims import CLAIMS, rising, verdict, verdicts
from ulfine.evaluation.intervals import bootstrap_interval, contributions, paired, t_interval
from ulfine.evaluation.metrics import class_groups, mean_of, packed_right, recalls

LABELED = [40, 30, 20, 10, 5, 2]
LABELS = np.repeat(np.arange(6), 200)
RIVALS = ["absent", "acr", "daso"]
FLAT = [{"step": n, "accuracy": 0.5} for n in range(1, 10)]


def runs(
    rng: np.random.Generator, method: str, mean: float, tail: float, spread: float, seeds: int = 3, **changes
) -> list:
    """Make runs with a mean class recall near `mean`, and near `tail` on the tail."""
    found = []
    for seed in range(seeds):
        shift = rng.normal(0, spread)
        chance = np.where(np.isin(LABELS, [4, 5]), tail, mean) + shift
        right = rng.random(len(LABELS)) < chance
        by_class = recalls(np.where(right, LABELS, -1), LABELS, 6)
        values = {
            "accuracy": mean_of(by_class, list(range(6))),
            "acc_tail": mean_of(by_class, [4, 5]),
            "labeled": LABELED,
            "pl_accuracy": 0.8 + rng.normal(0, spread),
            "pl_wrong_confidence": 0.5 + rng.normal(0, spread),
            "validation_curve": FLAT,
            "right": packed_right(right, LABELS, 6),
        } | changes
        record = {"flops": 1000, "seconds": 10.0, "device": "x"}
        path = Path(f"results/cells/d/s/b/{method}/seed{seed}/metrics.json")
        about = {"names": {"seed": seed}, "method": method, "metrics_file": path}
        found.append(SimpleNamespace(**about, metrics=values, record=record))
    return found


def scored(right: np.ndarray, labels: np.ndarray, labeled: list[int]) -> dict:
    return {"right": packed_right(right, labels, len(labeled)), "labeled": labeled}


def found(of: list) -> dict[str, dict]:
    claims = verdicts([(TASK, of)], OPTIONS)["claims"]
    return {each["claim"]: each for each in claims if each["family"] == "adjusted"}


def test_values_are_paired_by_seed():
    assert paired({3: "a", 1: "b", 0: "c"}, {1: "d", 3: "e", 2: "f"}) == [("b", "d"), ("a", "e")]


def test_interval_over_three_seeds_by_hand():
    assert t_interval([1.0, 2.0, 3.0], 0.05) == pytest.approx(
        [2 - 4.302653 / math.sqrt(3), 2 + 4.302653 / math.sqrt(3)]
    )
    assert t_interval([1.0, 2.0], 0.05) is None


def test_interval_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(0)
    intervals = [t_interval(list(rng.normal(0.3, 0.1, 3)), 0.05) for _ in range(3000)]
    assert np.mean([low <= 0.3 <= high for low, high in intervals]) == pytest.approx(0.95, abs=0.012)


def test_bootstrap_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(0)
    covered = []
    for _ in range(300):
        pair = tuple(scored(rng.random(1200) < p, LABELS, LABELED) for p in (0.7, 0.6))
        low, high = bootstrap_interval(*contributions([pair], "accuracy"), 0.05, 1000)
        covered.append(low <= 0.1 <= high)
    assert np.mean(covered) == pytest.approx(0.95, abs=0.035)


@pytest.mark.parametrize("quantity", ["accuracy", "acc_tail"])
def test_what_pictures_add_sums_to_the_difference(quantity):
    rng = np.random.default_rng(1)
    lp, lft = runs(rng, "lp", 0.7, 0.4, 0.1), runs(rng, "lft", 0.6, 0.5, 0.1)
    pairs = [(first.metrics, second.metrics) for first, second in zip(lp, lft, strict=True)]
    wanted = np.mean([first[quantity] - second[quantity] for first, second in pairs])
    assert contributions(pairs, quantity)[0].sum() == pytest.approx(wanted)


def test_a_class_without_test_pictures_counts_nowhere():
    labels = np.array([0, 0, 1, 1])
    pair = tuple(
        scored(np.array(right), labels, [9, 5, 1]) for right in ([True, True, True, False], [True, False, False, False])
    )
    assert contributions([pair], "accuracy")[0].tolist() == [0, 0.25, 0.25, 0]
    assert class_groups([9, 5, 1])["tail"] == [2]


@pytest.mark.parametrize(
    ("intervals", "bound", "direction", "expected"),
    [
        ([[0.1, 0.2]], 0, "above", "holds"),
        ([[-0.2, -0.1]], 0, "above", "fails"),
        ([[-0.1, 0.2]], 0, "above", "undecided"),
        ([[-0.2, -0.1]], 0, "below", "holds"),
        ([[0.1, 0.2], [-0.1, 0.3]], 0, "above", "undecided"),  # the test pictures leave it open
        ([[-0.05, 0.005]], 0.01, "below", "holds"),  # equal within the margin
        ([[0.005, 0.05]], 0.01, "below", "undecided"),
        ([[0.02, 0.05]], 0.01, "below", "fails"),
        ([None, [0.1, 0.2]], 0, "above", "undecided"),
    ],
)
def test_verdict_by_the_side_of_the_bound(intervals, bound, direction, expected):
    assert verdict(intervals, bound, direction) == expected


def test_ulfine_is_compared_with_the_best_rival_that_was_run():
    rng = np.random.default_rng(3)
    of = [*runs(rng, "ulfine", 0.7, 0.6, 0.002, seeds=5), *runs(rng, "acr", 0.6, 0.5, 0.002, seeds=5)]
    of += runs(rng, "daso", 0.8, 0.7, 0.002, seeds=5)
    assert "ulfine_above_rivals" not in found(of)  # of a family without any
    families = OPTIONS.families | {"adjusted": OPTIONS.families["adjusted"].model_copy(update={"rivals": RIVALS})}
    options = OPTIONS.model_copy(update={"families": families})

    def finding(those: list) -> dict:
        (only,) = [
            each for each in verdicts([(TASK, those)], options)["claims"] if each["claim"] == "ulfine_above_rivals"
        ]
        return only

    assert finding(of)["methods"] == ["ulfine", "daso"] and finding(of)["verdict"] == "fails"
    assert finding(of[:10])["methods"] == ["ulfine", "acr"] and finding(of[:10])["verdict"] == "holds"
    assert finding(of[:5])["reason"] == "absent was not run"


def test_large_differences_are_found_and_small_ones_left_open():
    rng = np.random.default_rng(2)
    of = [
        *runs(rng, "scratch", 0.5, 0.3, 0.002, seeds=5),
        *runs(rng, "fft", 0.3, 0.1, 0.002, seeds=5),
        *runs(rng, "lp", 0.8, 0.3 - 0.1, 0.002, seeds=5, pl_accuracy=0.6),
        *runs(rng, "lft", 0.8, 0.7, 0.002, seeds=5, pl_accuracy=0.9),
        *runs(rng, "ulfine", 0.801, 0.701, 0.002, seeds=5),
    ]
    verdict_of = {name: each["verdict"] for name, each in found(of).items()}
    assert verdict_of["fft_below_scratch"] == verdict_of["lp_raises_overall"] == verdict_of["lp_not_tail"] == "holds"
    assert verdict_of["lp_more_false"] == "holds"
    assert verdict_of["lft_not_tail"] == "fails"  # it does raise the tail
    assert verdict_of["ulfine_overall"] == verdict_of["ulfine_tail"] == "undecided"
    assert verdict_of["tenth_of_operations"] == verdict_of["tenth_of_seconds"] == "fails"  # they cost the same


def test_studies_without_any_difference_rarely_decide_one():
    rng = np.random.default_rng(3)
    decided = 0
    for _ in range(60):
        of = [run for name in ("scratch", "fft", "lp", "lft", "ulfine") for run in runs(rng, name, 0.6, 0.6, 0.03)]
        sided = [each for name, each in found(of).items() if not name.startswith("tenth") and "not_tail" not in name]
        decided += any(each["verdict"] in ("holds", "fails") for each in sided)
    assert decided <= 7  # 5 % of 60 are 3; more than 7 come by chance once in a hundred times


def test_two_seeds_decide_nothing():
    rng = np.random.default_rng(4)
    each = found([*runs(rng, "lft", 0.2, 0.2, 0, seeds=2), *runs(rng, "ulfine", 0.9, 0.9, 0, seeds=2)])[
        "ulfine_overall"
    ]
    assert each["verdict"] == "undecided" and each["reason"] == "2 of the 3 seeds that a verdict needs"
    assert each["mean"] == pytest.approx(0.7, abs=0.05) and each["interval"] is None and each["bootstrap"][0] > 0.6


def test_more_tests_widen_the_intervals():
    rng = np.random.default_rng(5)
    of = [*runs(rng, "lft", 0.5, 0.5, 0.02), *runs(rng, "ulfine", 0.6, 0.6, 0.02)]
    alone = verdicts([(TASK, of)], OPTIONS)
    more = verdicts([(TASK, of), (TASK | {"split": "t"}, of)], OPTIONS)
    assert (alone["tests"], more["tests"]) == (2, 4)
    narrow, wide = (
        next(x for x in each["claims"] if x["interval"] and x["claim"] == "ulfine_overall")["interval"]
        for each in (alone, more)
    )
    assert wide[0] < narrow[0] < narrow[1] < wide[1]
    differences = next(x for x in alone["claims"] if x["interval"] and x["claim"] == "ulfine_overall")["differences"]
    assert narrow == t_interval(differences, 0.05 / 2)


@pytest.mark.parametrize(
    ("scratch", "reason"),
    [
        ([], "scratch was not run"),
        ({"validation_curve": None}, "scratch has no validation curve that shows whether it still learns"),
        (
            {"validation_curve": [{"step": n, "accuracy": n / 20} for n in range(9)]},
            "the validation curve of scratch still rises",
        ),
        ({"accuracy": None}, "accuracy is unknown"),
    ],
)
def test_claims_against_scratch_that_cannot_be_tested(scratch, reason):
    rng = np.random.default_rng(6)
    others = runs(rng, "lp", 0.8, 0.5, 0.01)
    each = found([*others, *(runs(rng, "scratch", 0.5, 0.3, 0.01, **scratch) if scratch else [])])["lp_raises_overall"]
    assert (each["verdict"], each["reason"]) == ("not run", reason)


def test_how_much_a_curve_still_rises_by_hand():
    values = [0.1, 0.2, 0.4, 0.5, 0.5, 0.8]  # the last third is 0.65, the one before 0.45
    assert rising([[{"step": n, "accuracy": value} for n, value in enumerate(values)]]) == pytest.approx(0.2)


def test_seconds_of_different_devices_are_not_compared():
    rng = np.random.default_rng(7)
    of = [*runs(rng, "scratch", 0.5, 0.3, 0.01), *runs(rng, "ulfine", 0.8, 0.3, 0.01)]
    of[0].record["device"] = "y"
    each = found(of)
    assert each["tenth_of_seconds"]["reason"] == "trained on different devices"
    assert each["tenth_of_operations"]["verdict"] == "fails"


def test_a_tenth_of_the_operations():
    rng = np.random.default_rng(8)
    of = [*runs(rng, "scratch", 0.5, 0.3, 0.01), *runs(rng, "ulfine", 0.8, 0.3, 0.01)]
    for run in of[3:]:
        run.record["flops"] = 99
    each = found(of)["tenth_of_operations"]
    assert each["verdict"] == "holds" and 10 ** each["mean"] == pytest.approx(0.099)


def test_the_same_runs_give_the_same_verdicts_and_name_their_files(tmp_path):
    of = [make_cell(tmp_path, method, seed) for method in ("lft", "ulfine") for seed in (2, 0, 1)]
    first, again = (verdicts([(TASK, of)], OPTIONS) for _ in range(2))
    assert first == again
    each = next(x for x in first["claims"] if (x["claim"], x["family"]) == ("ulfine_tail", "adjusted"))
    assert each["seeds"] == [0, 1, 2]
    assert each["sources"][0][1].endswith("results/cells/d/s/b/ulfine/seed1/metrics.json")
    assert each["values"][0][1] == of[5].metrics["acc_tail"]


def test_every_claim_of_the_abstract_is_there():
    assert len({claim.name for claim in CLAIMS}) == len(CLAIMS) == 12


def test_plain_methods_are_tested_apart_from_adjusted_ones():
    rng = np.random.default_rng(9)
    of = [run for name in ("lft", "lft_plain") for run in runs(rng, name, 0.5, 0.5, 0.01)]
    of += [*runs(rng, "lp", 0.9, 0.9, 0.01, pl_accuracy=0.9), *runs(rng, "lp_plain", 0.1, 0.1, 0.01, pl_accuracy=0.1)]
    claims = verdicts([(TASK, of)], OPTIONS)["claims"]
    by_family = {each["family"]: each for each in claims if each["claim"] == "lp_more_false"}
    assert by_family["plain"]["methods"] == ["lp_plain", "lft_plain"] and by_family["plain"]["verdict"] == "holds"
    assert by_family["adjusted"]["methods"] == ["lp", "lft"] and by_family["adjusted"]["mean"] < 0
    assert len(claims) == 2 * (len(CLAIMS) - 1)  # neither has rivals
