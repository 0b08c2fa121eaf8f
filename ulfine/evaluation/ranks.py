"""Ranks of methods over data sets, splits and seeds, and how far apart they must be (Demšar, JMLR 2006).

A block is one data set, split, backbone and seed; in each, the best accuracy has rank 1, ties share theirs. Friedman's
test asks whether the methods differ at all; two of them do where their mean ranks are Nemenyi's critical difference
apart, q sqrt(k (k + 1) / (6 N)) for k methods and N blocks. Blocks of one split share their test pictures, so that they
are less independent than the test takes them to be.
"""

from dataclasses import dataclass

import pandas as pd
from scipy.stats import friedmanchisquare, studentized_range

from ulfine.params.names import NO_BACKBONE

METHODS, BLOCKS = 3, 5  # at least
BLOCK = ["dataset", "split", "backbone", "seed"]


@dataclass(frozen=True)
class Ranks:
    """Methods by mean rank, the best first."""

    table: pd.DataFrame  # index: method; rank, accuracy: means over blocks
    blocks: int
    difference: float  # of mean ranks, from which two methods differ
    p_value: float  # of Friedman's test


def ranks(runs: pd.DataFrame, level: float) -> Ranks | None:
    """Ranks of the methods that were run in every block; None where there are too few of them, or of blocks.

    Args:
        runs: a row for each cell, as runs.csv has it.
        level: confidence, as 0.95.
    """
    runs = with_baselines(runs)
    accuracy = runs.pivot_table(index=BLOCK, columns="method", values="accuracy", sort=False)
    accuracy = accuracy.dropna(axis="columns")
    blocks, methods = accuracy.shape
    if methods < METHODS or blocks < BLOCKS:
        return None
    by_block = accuracy.rank(axis="columns", ascending=False)
    table = pd.DataFrame({"rank": by_block.mean(), "accuracy": accuracy.mean()}).sort_values("rank", kind="stable")
    return Ranks(
        table,
        blocks,
        critical_difference(methods, blocks, level),
        float(friedmanchisquare(*(accuracy[name] for name in accuracy)).pvalue),
    )


def with_baselines(runs: pd.DataFrame) -> pd.DataFrame:
    """Runs without a backbone, repeated for each backbone beside them."""
    without = runs["backbone"] == NO_BACKBONE
    backbones = runs.loc[~without, "backbone"].unique()
    if not without.any() or not len(backbones):
        return runs
    repeated = [runs[without].assign(backbone=name) for name in backbones]
    return pd.concat([runs[~without], *repeated], ignore_index=True)


def critical_difference(methods: int, blocks: int, level: float) -> float:
    """Nemenyi's, of mean ranks."""
    q = studentized_range.ppf(level, methods, float("inf")) / 2**0.5
    return float(q * (methods * (methods + 1) / (6 * blocks)) ** 0.5)
