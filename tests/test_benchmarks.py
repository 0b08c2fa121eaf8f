"""What the benchmarks write. Their figures are not tested: they depend on the machine."""

import json

import pytest
import torch

from benchmarks import measured
from benchmarks.measured import Found, report

CPU = torch.device("cpu")


@pytest.fixture
def results(tmp_path, monkeypatch):
    monkeypatch.setattr(measured, "RESULTS", tmp_path / "results.json")
    monkeypatch.setattr(measured, "TABLE", tmp_path / "results.md")
    return lambda: json.loads((tmp_path / "results.json").read_text())


def test_a_figure_replaces_what_has_its_name_and_rows_are_in_order(results):
    report(Found(5, "lp", 4.25, "x", 4, "lower", "note"), device=CPU)
    report(Found(1, "speed", 60.0, "x", 50, "higher"), Found(5, "lp", 3.123, "x", 4, "lower"), device=CPU)
    found = results()
    assert [(row["row"], row["name"], row["value"]) for row in found] == [(1, "speed", 60.0), (5, "lp", 3.123)]
    keys = "row name value unit target better note device commit ran"
    assert list(found[0]) == keys.split() and found[0]["device"].endswith("threads")
    table = measured.TABLE.read_text()
    assert "| 5 | 64 heads as one training against one head: lp | 3.12 x | ≤ 4 |" in table
    assert "| 60 x | ≥ 50 |" in table and "4.25" not in table


def test_a_row_that_needs_a_gpu_is_empty_and_forgets_no_measured_value(results):
    missing = Found(7, "LFT", None, "", 0.4, "higher", "no GPU was at hand")
    report(missing)
    assert results()[0]["value"] is None and results()[0]["device"] == "a GPU"
    report(Found(7, "LFT", 0.45, "", 0.4, "higher"), device=CPU)
    report(missing)
    (row,) = results()
    assert row["value"] == 0.45


def test_ratios_are_of_turns(monkeypatch):
    clock = iter([0, 6, 6, 8, 8, 20, 20, 22, 22, 26, 26, 27])  # slow 6, 12, 4; fast 2, 2, 1
    monkeypatch.setattr(measured.time, "perf_counter", lambda: next(clock))
    calls = []
    found = measured.ratios(lambda: calls.append("slow"), lambda: calls.append("fast"), rounds=2, device=CPU)
    assert found == [4, 6] and calls == ["slow", "fast"] * 3
