"""Ranks and their critical difference, against published numbers."""

import pandas as pd
import pytest

from ulfine.evaluation.ranks import critical_difference, ranks


def runs(accuracies: dict[str, list[float]]) -> pd.DataFrame:
    return pd.DataFrame(
        {"dataset": "d", "split": f"s{n % 2}", "backbone": "b", "seed": n // 2, "method": method, "accuracy": value}
        for method, values in accuracies.items()
        for n, value in enumerate(values)
    )


def test_the_critical_difference_is_that_of_demsar():
    assert critical_difference(4, 14, 0.95) == pytest.approx(1.25, abs=0.005)  # his example: four trees, 14 data sets
    assert critical_difference(2, 10, 0.95) == pytest.approx(1.96 * (6 / 60) ** 0.5, abs=1e-3)


def test_ranks_are_means_over_blocks_and_ties_are_shared():
    found = ranks(
        runs({"a": [0.5, 0.9, 0.9, 0.6, 0.7, 0.8], "b": [0.5, 0.8, 0.7, 0.5, 0.6, 0.7], "c": [0.1] * 6, "d": [0.9]}),
        0.95,
    )
    assert found.blocks == 6 and list(found.table.index) == ["a", "b", "c"]  # d was not run everywhere
    assert found.table["rank"].tolist() == pytest.approx([(1.5 + 5) / 6, (1.5 + 10) / 6, 3])
    assert found.table["accuracy"]["c"] == pytest.approx(0.1)
    assert found.p_value < 0.01


def test_a_baseline_stands_beside_every_backbone():
    towers = runs({"a": [0.5, 0.9, 0.9, 0.6, 0.7, 0.8], "b": [0.5, 0.8, 0.7, 0.5, 0.6, 0.7]})
    baseline = runs({"scratch": [0.9] * 6}).assign(backbone="none")
    found = ranks(pd.concat([towers, baseline]), 0.95)
    assert found.blocks == 6 and set(found.table.index) == {"a", "b", "scratch"}


def test_too_few_methods_or_blocks_have_no_ranks():
    assert ranks(runs({"a": [0.5] * 6, "b": [0.6] * 6}), 0.95) is None
    assert ranks(runs({name: [0.5, 0.6, 0.7, 0.8] for name in "abc"}), 0.95) is None
