"""DVC and Snakemake: the same bytes, offline, and nothing twice."""

import re

import pandas as pd
import pytest

from tests.helpers import project
from tests.helpers.project import run, succeeded
from tests.helpers.reruns import copied, outputs, rerun


def test_both_engines_give_the_same_bytes(by_dvc, by_snakemake):
    one, two = outputs(by_dvc), outputs(by_snakemake)
    assert any("logits.safetensors" in name for name in one) and any("metrics.json" in name for name in one)
    assert one.keys() == two.keys()
    assert [name for name in one if one[name] != two[name]] == []
    tables = [(folder / "results/tiny/runs.csv").read_bytes() for folder in (by_dvc, by_snakemake)]
    assert tables[0] == tables[1]


def test_neither_engine_needs_a_network(by_dvc, by_snakemake):
    if not project.without_network():
        pytest.skip("this kernel lets nobody start a command without a network (unshare --net)")
    for folder in (by_dvc, by_snakemake):
        interfaces = re.findall(r"^ *(\S+):", (folder / "interfaces").read_text(), re.MULTILINE)
        assert interfaces == ["lo"]  # which is down in a new namespace


@pytest.mark.parametrize("engine", ["dvc", "snakemake"])
def test_nothing_is_done_twice_whoever_did_it_first(by_dvc, by_snakemake, engine, tmp_path):
    mine = copied(by_dvc if engine == "dvc" else by_snakemake, tmp_path / "mine")
    assert rerun(mine, engine) == set()
    other = copied(by_snakemake if engine == "dvc" else by_dvc, tmp_path / "other")
    if engine == "dvc":
        succeeded(run(other, "ulfine", "commit"))
    assert rerun(other, engine) == set()


def test_the_page_has_the_same_bytes_under_the_other_engine(by_dvc, tmp_path):
    folder = copied(by_dvc, tmp_path)
    made = {path: path.read_bytes() for path in (folder / "results/tiny").rglob("*") if path.is_file()}
    assert len([path for path in made if path.suffix in (".html", ".svg", ".pdf")]) > 10
    succeeded(run(folder, "snakemake", "--cores", "2", "--forcerun", "report"))
    assert {path: path.read_bytes() for path in made} == made


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["dvc", "snakemake"])
def test_only_what_a_change_touches_gets_other_bytes(by_dvc, by_snakemake, params, engine, tmp_path):
    """What tests/test_reruns.py asserts of scripts that do nothing, on those that train."""
    folder = copied(by_dvc if engine == "dvc" else by_snakemake, tmp_path)
    before = outputs(folder)
    params["methods"]["lp"]["train"] = {"lr": 0.02}
    params["grid"]["method"] = ["lp"]
    project.write_params(folder, params)
    ran = {
        "train@shapes-tail-tiny-lp-0",
        "evaluate@shapes-tail-tiny-lp-0",
        "aggregate",
        "report",
    }
    assert rerun(folder, engine) - {"resolve"} == ran
    after = outputs(folder)
    differ = {name for name in before if before[name] != after[name]}
    assert differ and all("/lp/seed0" in name or name.endswith("/tiny/lp.json") for name in differ)
    assert set(pd.read_csv(folder / "results/tiny/runs.csv")["method"]) == {"lp", "scratch"}
    assert (folder / "results/cells/shapes/tail/tiny/zero_shot/seed0/metrics.json").exists()  # left over, and ignored


@pytest.mark.parametrize("engine", [("dvc", "repro"), ("snakemake", "--cores", "2")])
def test_wrong_parameters_stop_everything(by_snakemake, params, engine, tmp_path):
    folder = copied(by_snakemake, tmp_path)
    before = outputs(folder)
    params["grid"]["method"] = ["lp", "ulfin"]
    project.write_params(folder, params)
    done = run(folder, *engine)
    assert done.returncode != 0
    message = "grid.method = 'ulfin' is not in methods (allowed: zero_shot, lp, lft, fft, ulfine, frozen)"
    assert message in done.stderr
    if engine[0] == "snakemake":
        assert done.returncode == 1 and done.stderr.strip() == f"params.yaml: {message}"
    assert outputs(folder) == before


def test_snakemake_refuses_values_that_dvc_would_not_see(by_snakemake):
    done = run(by_snakemake, "snakemake", "-n", "--config", "study=mine")
    assert done.returncode == 1 and "edit params.yaml" in done.stderr


@pytest.mark.slow
def test_every_method_gives_the_same_bytes_under_every_engine(params, tmp_path):
    labels_alone = {"unlabeled_ratio": 0, "losses": {"unlabeled": None}}
    params["methods"] |= {
        "lora": {"tune": "adapters", "adapter": {"kind": "lora", "rank": 2}, "train": {"pseudo_labels": "soft"}},
        "prompts": {"tune": "adapters", "adapter": {"kind": "vpt", "depth": "deep", "tokens": 2}},
        "lift_plus": {
            "tune": "adapters",
            "adapter": {"kind": "adaptformer", "width": 2},
            "train": labels_alone | {"labeled_view": "minimalist", "test_crops": 5, "ema_decay": 0.9},
        },
    }
    params["grid"]["method"] = [name for name in params["methods"] if name != "scratch"]
    found = []
    for number, engine in enumerate((("dvc", "repro"), ("snakemake", "--cores", "1"), ("snakemake", "--cores", "2"))):
        folder = project.make_project(tmp_path / str(number))
        project.write_params(folder, params)
        succeeded(run(folder, *engine))
        found.append(outputs(folder))
    assert any("/fft/" in name for name in found[0])
    assert found[0] == found[1] == found[2]
