import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest

from ulfine.evaluation.aggregate import (
    COST,
    EQUAL,
    MORE,
    PUBLISHED,
    SCORES,
    WHY,
    caveats,
    cost_table,
    latex,
    markdown,
    mixed_devices,
    runs_table,
    summary_table,
    with_intervals,
)
from ulfine.evaluation.intervals import bootstrap_interval, t_interval
from ulfine.evaluation.metrics import packed_right

ONE_DEVICE = pd.DataFrame({"device": ["a GPU", "a GPU"]})
LABELED, LABELS = [9, 5, 3, 1], np.repeat(np.arange(4), 10)


def cell(method: str, seed: int, accuracy: float, params: int = 10, **changes) -> dict:
    names = {"dataset": "d", "split": "s", "backbone": "b", "method": method, "seed": seed}
    values = dict.fromkeys([*SCORES, *MORE], 0.5) | {"accuracy": accuracy, "acc_text": None}
    values |= {"labeled": LABELED, "right": packed_right(np.arange(40) % 10 < round(10 * accuracy), LABELS, 4)}
    return names | values | {"trainable_params": params, "params_digest": "x", "stand_in": True} | changes


def test_a_method_that_trains_nothing_but_depends_on_the_labeled_pictures_counts_its_seeds():
    cells = [cell("tip_adapter", seed, 0.2 + seed / 10, params=0) for seed in range(3)]
    cells += [cell("lp", seed, 0.5) for seed in range(3)]
    table = with_intervals(summary_table(runs_table(cells)), cells, 1000).set_index("method")
    assert table.loc["tip_adapter", "n"] == 3 and table.loc["tip_adapter", "accuracy_sd"] == pytest.approx(0.1)
    assert table.loc["tip_adapter", "accuracy_low"] < 0.3 < table.loc["tip_adapter", "accuracy_high"]


def test_a_row_for_each_cell_in_the_columns_of_the_design():
    runs = runs_table([cell("lp", 0, 0.6), cell("lp", 1, 0.8)])
    expected = """dataset split backbone method seed
        accuracy acc_head acc_medium acc_tail acc_linear acc_text acc_fused micro_accuracy gmean ece
        pl_accuracy pl_coverage pl_tail_recall pl_wrong_confidence trainable_params params_digest stand_in
        pl_right_confidence pl_ece prior_error"""
    assert list(runs.columns) == expected.split()
    assert runs["accuracy"].tolist() == [0.6, 0.8]


def cost(method: str, seed: int, *curve: float, steps: int = 100, **changes) -> dict:
    record = {
        "seconds": 10.0,
        "images_seen": 400,
        "flops": 1000,
        "energy_joules": None,
        "peak_memory_mb": 1,
        "device": "x",
    }
    points = [{"step": steps * (n + 1) // len(curve), "accuracy": value} for n, value in enumerate(curve)]
    return cell(method, seed, 0.5) | record | ({"validation_curve": points} if curve else {}) | changes


def test_costs_at_equal_accuracy_by_hand():
    cells = [
        cost("scratch", 0, 0.2, 0.5, 0.6, 0.55, seconds=80.0),  # the weakest at its best: 0.6, at step 75
        cost("lft", 0, 0.3, 0.61, 0.7, 0.8),  # first at step 50
        cost("lp", 0),  # no curve
        cost("lft", 1, 0.9, 0.9),  # alone with this seed
    ]
    table = cost_table(cells, {})
    assert list(table.columns[5:]) == ["train_seconds", *COST[1:], *PUBLISHED, *EQUAL, WHY]
    assert table[EQUAL].iloc[0].tolist() == pytest.approx([0.6, 75, 60, 300, 750])
    assert table[EQUAL].iloc[1].tolist() == pytest.approx([0.6, 50, 5, 200, 500])
    assert table[EQUAL].iloc[2:].isna().all(axis=None)
    assert table["train_seconds"].tolist() == [80, 10, 10, 10]
    alone = "no other cell with this data set, split and seed has a validation curve"
    assert table[WHY].tolist() == ["", "", "no validation curve (validate_every: 0, or no picture held out)", alone]
    assert cost_table([cost("zero_shot", 0, trainable_params=0)], {})[WHY].tolist() == ["nothing is trained"]


def test_costs_by_a_published_schedule_by_hand():
    table = cost_table([cost("lft", 0), cost("zero_shot", 0, images_seen=0)], {"lft": 1000})  # after 400 views
    assert table[PUBLISHED].iloc[0].tolist() == [1000, 25, 2500]
    assert table[PUBLISHED].iloc[1].isna().all()


def test_mean_deviation_and_number_of_seeds():
    summary = summary_table(runs_table([cell("lp", 0, 0.6), cell("lp", 1, 0.8), cell("lft", 0, 0.9)]))
    assert summary["method"].tolist() == ["lp", "lft"]
    assert summary["n"].tolist() == [2, 1]
    assert summary["accuracy_mean"].tolist() == pytest.approx([0.7, 0.9])
    assert summary["accuracy_sd"][0] == pytest.approx(0.02**0.5)
    assert pd.isna(summary["accuracy_sd"][1])


def test_a_method_without_randomness_has_one_run_and_no_deviation():
    cells = [cell("zero_shot", seed, 0.1, params=0) for seed in range(3)]  # whose mean in floating point is not 0.1
    summary = summary_table(runs_table(cells))
    assert summary["n"].tolist() == [1]
    assert pd.isna(summary["accuracy_sd"][0])


def test_scores_of_class_groups_still_differ_with_what_is_tail():
    seeds = [cell("zero_shot", seed, 0.6, params=0, acc_tail=seed / 10) for seed in (0, 2)]
    summary = summary_table(runs_table(seeds))
    assert summary["acc_tail_sd"][0] == pytest.approx(0.02**0.5)
    assert pd.isna(summary["accuracy_sd"][0])


def test_a_score_that_one_seed_lacks_is_unknown():
    summary = summary_table(runs_table([cell("lp", 0, 0.6, pl_accuracy=None), cell("lp", 1, 0.8)]))
    assert pd.isna(summary["pl_accuracy_mean"][0])
    assert pd.isna(summary["acc_text_mean"][0])


def test_the_table_says_what_it_stands_on():
    cells = [cell("lp", 0, 0.6), cell("lp", 1, 0.8)]
    summary = with_intervals(summary_table(runs_table(cells)), cells, 1000)
    text = markdown(summary, "mine", caveats(summary, ONE_DEVICE))
    assert "> Stand-in tower (b): says nothing about CLIP." in text and "device" not in text
    assert "| d | s | b | lp | 2 | 70.0 ± 14.1 |" in text
    cells = [cell("lp", 0, 0.6, stand_in=False)]
    summary = with_intervals(summary_table(runs_table(cells)), cells, 1000)
    text = markdown(summary, "mine", caveats(summary, ONE_DEVICE))
    assert "Stand-in" not in text and "| lp | 1 | 60.0 |" in text and "over seeds" not in text.splitlines()[-1]


def test_runs_of_several_devices_are_said_to_be():
    costs = pd.DataFrame({"device": ["a CPU, 2 threads", "a GPU", "a CPU, 2 threads", None]})
    said = "(a CPU, 2 threads: 2; a GPU: 1; an unknown device: 1)"
    summary = summary_table(runs_table([cell("lp", 0, 0.6, stand_in=False)]))
    assert caveats(summary, costs) == [f"Not all runs are of one device, so last bits and seconds differ {said}."]
    assert "> Not all runs" in markdown(
        with_intervals(summary, [cell("lp", 0, 0.6)], 10), "mine", caveats(summary, costs)
    )
    assert mixed_devices(costs[costs["device"] == "a GPU"]) == []


def test_differences_from_the_first_method_that_trains_with_both_intervals():
    cells = [cell("zero_shot", seed, 0.2, params=0) for seed in range(3)]
    cells += [cell("lp", seed, accuracy) for seed, accuracy in enumerate((0.5, 0.6, 0.7))]
    cells += [cell("lft", seed, accuracy, acc_tail=0.7) for seed, accuracy in enumerate((0.6, 0.8, 0.8))]
    cells += [cell("scratch", 0, 0.3, backbone="none")]
    table = with_intervals(summary_table(runs_table(cells)), cells, 1000).set_index("method")
    assert table["versus"].fillna("").to_dict() == {"zero_shot": "lp", "lp": "", "lft": "lp", "scratch": ""}
    lft = table.loc["lft"]
    assert lft["accuracy_difference"] == pytest.approx(0.4 / 3) and lft["acc_tail_difference"] == pytest.approx(0.2)
    assert [lft["accuracy_low"], lft["accuracy_high"]] == t_interval([0.6, 0.8, 0.8], 0.05)
    found = [lft["accuracy_t_low"], lft["accuracy_t_high"]]
    assert found == pytest.approx(t_interval([0.1, 0.2, 0.1], 0.05))
    added = np.where(np.arange(40) % 10 == 5, 1, 0) + np.where(np.arange(40) % 10 == 6, 1, 0)  # right in more seeds
    added = added + 2 * np.where(np.arange(40) % 10 == 7, 1, 0)
    expected = bootstrap_interval(added / 3 / 40, LABELS, 0.05, 1000)
    assert [lft["accuracy_bootstrap_low"], lft["accuracy_bootstrap_high"]] == pytest.approx(expected)
    assert pd.isna(table.loc["zero_shot", "accuracy_low"])  # it has no spread over seeds
    text = markdown(table.reset_index(), "mine", [])
    assert f"| d | s | b | lft | lp | +13.3 | {100 * found[0]:+.1f} to {100 * found[1]:+.1f} |" in text


def test_latex_has_a_row_for_each_method_and_escapes_names():
    summary = summary_table(runs_table([cell("lp_x", 0, 0.6), cell("lp_x", 1, 0.8), cell("50%", 0, 0.9)]))
    text = latex(summary, "a_b", caveats(summary, ONE_DEVICE))
    assert r"lp\_x & 2 & 70.0 $\pm$ 14.1 &" in text
    assert r"50\% & 1 & 90.0 &" in text
    assert r"\caption{a\_b: percent" in text and "Stand-in tower (b): says nothing about CLIP." in text
    assert text.count(r"\midrule") == 1 and text.count(r"\begin{") == text.count(r"\end{") == 3


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs LaTeX")
def test_latex_compiles_as_it_is(tmp_path):
    summary = summary_table(runs_table([cell("lp_x", 0, 0.6, pl_accuracy=None), cell("a&b{}~^\\", 0, 0.9)]))
    (tmp_path / "summary.tex").write_text(latex(summary, "a_b", ["100 % & more"]))
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "summary.tex"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
