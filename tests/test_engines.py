"""DVC and Snakemake: the same bytes, and no more rerun than a change touches."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from fsspec import AbstractFileSystem
from fsspec.implementations.local import LocalFileSystem

from tests import project
from tests.pictures import md5
from tests.project import run, run_offline, succeeded

DETERMINISTIC = (
    "artifacts/runs",
    "artifacts/splits",
    "artifacts/features",
    "artifacts/backbones",
    "artifacts/data",
    "results/cells",
)


@pytest.fixture(scope="session")
def by_dvc(tmp_path_factory) -> Path:
    """A tiny project after `dvc repro`; copy it, never change it."""
    folder = project.make_project(tmp_path_factory.mktemp("dvc") / "project")
    succeeded(run_offline(folder, "dvc", "repro"))
    return folder


@pytest.fixture(scope="session")
def by_snakemake(tmp_path_factory) -> Path:
    """A tiny project after `snakemake --cores 2`; copy it, never change it."""
    folder = project.make_project(tmp_path_factory.mktemp("snakemake") / "project")
    succeeded(run_offline(folder, "snakemake", "--cores", "2"))
    return folder


@pytest.fixture(params=["by_dvc", "by_snakemake"])
def made(request, tmp_path) -> Path:
    """A copy that a test may change, made by either engine."""
    return copied(request.getfixturevalue(request.param), tmp_path)


def copied(folder: Path, target: Path) -> Path:
    return shutil.copytree(folder, target / "project", symlinks=True)


def outputs(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for top in DETERMINISTIC
        for path in sorted((folder / top).rglob("*"))
        if path.is_file() and path.name != ".snakemake_timestamp"
    }


def rerun(folder: Path, engine: str, *, dry: bool = False) -> set[str]:
    """Run again, or with `dry` say what would run; the stages as stage@cell."""
    if engine == "dvc" and dry:  # `dvc repro --dry` stops at the first input that is not there yet
        return set(re.findall(r"^(\S+):$", succeeded(run(folder, "dvc", "status")).stdout, re.MULTILINE))
    if engine == "dvc":
        text = succeeded(run(folder, "dvc", "repro")).stdout
        return set(re.findall(r"Running stage '(\S+)'", text))
    done = succeeded(run(folder, "snakemake", "--cores", "2", *(["--dry-run"] if dry else [])))
    jobs = re.findall(r"^(?:local)?rule (\w+):\n((?:    .*\n)+)", done.stdout + done.stderr, re.MULTILINE)
    return {named(rule, re.search(r"wildcards: (.*)", body)) for rule, body in jobs} - {"all"}


def named(rule: str, wildcards: re.Match | None) -> str:
    """DVC's name of a Snakemake job."""
    return f"{rule}@{'-'.join(re.findall(r'=([^,]+)', wildcards[1]))}" if wildcards else rule


def cells(stage: str, method: str, seeds=(0, 1)) -> set[str]:
    return {f"{stage}@shapes-tail-tiny-{method}-{seed}" for seed in seeds}


def of_scratch(engine: str, seeds=(0, 1)) -> set[str]:
    """Training and evaluation of the baseline; to Snakemake the latter is a cell like any other."""
    evaluate = "evaluate_baseline@shapes-tail" if engine == "dvc" else "evaluate@shapes-tail-none"
    return {f"{name}-scratch-{seed}" for name in ("baseline@shapes-tail", evaluate) for seed in seeds}


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
    if engine == "dvc":  # it knows outputs by hash and has to be told of these
        succeeded(run(other, "dvc", "commit", "--force"))
    assert rerun(other, engine) == set()


def test_snakemake_adopts_what_dvc_restored(by_dvc, tmp_path):
    folder = copied(by_dvc, tmp_path)
    for made in ("artifacts", ".snakemake"):
        shutil.rmtree(folder / made)
    succeeded(run(folder, "dvc", "checkout"))
    assert rerun(folder, "dvc") == {"manifest"}
    assert rerun(folder, "snakemake", dry=True)  # it goes by time, and all times are new
    succeeded(run(folder, "snakemake", "--touch", "--cores", "2"))
    assert rerun(folder, "snakemake", dry=True) == set()


@pytest.mark.parametrize("engine", ["dvc", "snakemake"])
def test_a_cell_more_runs_what_it_needs_alone(by_dvc, by_snakemake, params, engine, tmp_path):
    folder = copied(by_dvc if engine == "dvc" else by_snakemake, tmp_path)
    if engine == "snakemake":
        (folder / "artifacts/params.ok").unlink()  # as DVC leaves it when a check fails
    params["grid"]["seed"] = [0, 1, 2]
    project.write_params(folder, params)
    new = {name for stage in ("train", "evaluate") for m in ("zero_shot", "lp") for name in cells(stage, m, [2])}
    new |= of_scratch(engine, [2])
    assert rerun(folder, engine, dry=True) - {"check"} == new | {"split@shapes-tail-2", "aggregate"}


@pytest.mark.parametrize("engine", ["dvc", "snakemake"])
def test_one_value_of_one_method_reruns_that_method(by_dvc, by_snakemake, params, engine, tmp_path):
    params["methods"]["lp"]["train"] = {"lr": 0.02}
    expected = cells("train", "lp") | cells("evaluate", "lp") | {"aggregate"}
    folders = [by_dvc, by_snakemake] if engine == "snakemake" else [by_dvc]  # Snakemake also right after DVC
    for number, folder in enumerate(folders):
        changed = copied(folder, tmp_path / str(number))
        before = outputs(changed)
        project.write_params(changed, params)
        assert rerun(changed, engine) - {"check"} == expected
        after = outputs(changed)
        differ = {name for name in before if before[name] != after[name]}
        assert differ and all("/lp/" in name for name in differ)


@pytest.mark.parametrize("engine", ["dvc", "snakemake"])
def test_a_value_of_the_baseline_reruns_the_baseline(by_dvc, by_snakemake, params, engine, tmp_path):
    folder = copied(by_dvc if engine == "dvc" else by_snakemake, tmp_path)
    params["methods"]["scratch"]["scratch"]["width"] = 2
    project.write_params(folder, params)
    expected = of_scratch(engine) | {"aggregate"}
    if engine == "dvc":  # its status tells what changed, not what will follow
        expected = {name for name in expected if name.startswith("baseline")}
    assert rerun(folder, engine, dry=True) - {"check"} == expected


@pytest.mark.parametrize("engine", ["dvc", "snakemake"])
def test_the_results_of_a_study_stay_when_another_runs(by_dvc, by_snakemake, params, engine, tmp_path):
    folder = copied(by_dvc if engine == "dvc" else by_snakemake, tmp_path)
    before = outputs(folder) | {str(path): path.read_bytes() for path in sorted((folder / "results/tiny").iterdir())}
    params["study"] = "other"
    params["grid"] |= {"method": ["lp"], "baseline": []}
    project.write_params(folder, params)
    assert rerun(folder, engine) - {"check"} == {"aggregate"}
    assert set(pd.read_csv(folder / "results/other/runs.csv")["method"]) == {"lp"}
    after = outputs(folder) | {str(path): path.read_bytes() for path in sorted((folder / "results/tiny").iterdir())}
    assert after == before
    params["study"] = "tiny"
    params["grid"] |= {"method": ["zero_shot", "lp"], "baseline": ["scratch"]}
    project.write_params(folder, params)
    assert rerun(folder, engine) - {"check"} <= {"aggregate"}  # and the way back costs no training


@pytest.mark.parametrize("engine", ["dvc", "snakemake"])
def test_a_dropped_seed_disappears_from_the_tables(by_dvc, by_snakemake, params, engine, tmp_path):
    folder = copied(by_dvc if engine == "dvc" else by_snakemake, tmp_path)
    assert set(pd.read_csv(folder / "results/tiny/runs.csv")["seed"]) == {0, 1}
    params["grid"]["seed"] = [1]
    project.write_params(folder, params)
    assert rerun(folder, engine) - {"check"} == {"aggregate"}
    assert set(pd.read_csv(folder / "results/tiny/runs.csv")["seed"]) == {1}
    assert (folder / "results/cells/shapes/tail/tiny/lp/seed0/metrics.json").exists()  # left over, and ignored


@pytest.mark.parametrize("engine", ["dvc", "snakemake"])
def test_order_comments_2_against_2_0_and_touched_files_rerun_nothing(by_dvc, by_snakemake, params, engine, tmp_path):
    folder = copied(by_dvc if engine == "dvc" else by_snakemake, tmp_path)
    params["train"] = dict(reversed(params["train"].items())) | {"scale": 25.0}
    project.write_params(folder, params)
    text = (folder / "params.yaml").read_text()
    (folder / "params.yaml").write_text("# a comment\n" + text)
    for name in ("stages", "ulfine"):
        for path in (folder / name).rglob("*.py"):
            path.touch()
    assert rerun(folder, engine) - {"check"} == set()


def edit(path: Path) -> None:
    path.write_text(f"{path.read_text()}# a comment\n")


@pytest.mark.parametrize("engine", ["dvc", "snakemake"])
def test_an_edit_of_a_module_reruns_the_stages_that_import_it(by_dvc, by_snakemake, engine, tmp_path):
    folder = copied(by_dvc if engine == "dvc" else by_snakemake, tmp_path)
    edit(folder / "ulfine/evaluation/metrics.py")
    scored = cells("evaluate", "zero_shot") | cells("evaluate", "lp")
    scored |= {name for name in of_scratch(engine) if name.startswith("evaluate")}
    if engine == "dvc":  # the metrics are the same bytes, so it makes no tables; Snakemake goes by their time
        assert rerun(folder, "dvc") == scored | {"manifest"}
        assert rerun(folder, "snakemake") == {"aggregate"}
    else:
        assert rerun(folder, "snakemake") == scored | {"aggregate"}
    assert rerun(folder, engine, dry=True) == set()


@pytest.mark.parametrize("engine", ["dvc", "snakemake"])
def test_an_edit_of_a_script_reruns_its_stage(by_dvc, by_snakemake, engine, tmp_path):
    folder = copied(by_dvc if engine == "dvc" else by_snakemake, tmp_path)
    edit(folder / "stages/split.py")
    splits = {f"split@shapes-tail-{seed}" for seed in (0, 1)}
    if engine == "dvc":  # the splits are the same bytes
        assert rerun(folder, engine) == splits | {"manifest"}
    else:  # a plan, as all trainings follow
        follow = {name for stage in ("train", "evaluate") for m in ("zero_shot", "lp") for name in cells(stage, m)}
        assert rerun(folder, engine, dry=True) == splits | follow | of_scratch(engine) | {"aggregate"}


@pytest.mark.parametrize("engine", [("dvc", "repro"), ("snakemake", "--cores", "2")])
def test_wrong_parameters_stop_everything(by_snakemake, params, engine, tmp_path):
    folder = copied(by_snakemake, tmp_path)
    before = outputs(folder)
    params["grid"]["method"] = ["lp", "ulfin"]
    project.write_params(folder, params)
    done = run(folder, *engine)
    assert done.returncode != 0
    message = "grid.method = 'ulfin' is not in methods (allowed: zero_shot, lp, lft, fft, ulfine)"
    assert message in done.stderr
    if engine[0] == "snakemake":
        assert done.returncode == 1 and done.stderr.strip() == f"params.yaml: {message}"
    assert outputs(folder) == before


def test_snakemake_refuses_values_that_dvc_would_not_see(by_snakemake):
    done = run(by_snakemake, "snakemake", "-n", "--config", "study=mine")
    assert done.returncode == 1 and "edit params.yaml" in done.stderr


@pytest.fixture(params=["folder", pytest.param("s3", marks=pytest.mark.slow)])
def remote(request, tmp_path, monkeypatch) -> Iterator[tuple[AbstractFileSystem, str, dict[str, str]]]:
    """Where results are shared: its files, its address, and what DVC has to be told about it."""
    if request.param == "folder":
        yield LocalFileSystem(), str(tmp_path / "share"), {}
        return
    from moto.server import ThreadedMotoServer  # both take a second or more, which the fast tests have no use for
    from s3fs import S3FileSystem

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "anything")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = ThreadedMotoServer("127.0.0.1", 0)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    files = S3FileSystem(endpoint_url=url, use_listings_cache=False, skip_instance_cache=True)
    files.mkdir("results")
    yield files, "s3://results/ulfine", {"endpointurl": url}
    server.stop()


def shared(by_dvc: Path, tmp_path: Path, url: str, options: dict[str, str]) -> tuple[Path, Path]:
    """A project whose results are pushed, and a clone of it that has not pulled them."""
    mine, theirs = copied(by_dvc, tmp_path / "mine"), tmp_path / "theirs"
    succeeded(run(mine, "dvc", "remote", "add", "--default", "share", url))
    for name, value in options.items():
        succeeded(run(mine, "dvc", "remote", "modify", "share", name, value))
    succeeded(run(mine, "git", "add", "--all"))
    me = ("-c", "user.name=me", "-c", "user.email=me@localhost")
    succeeded(run(mine, "git", *me, "commit", "--quiet", "--message", "Results"))
    succeeded(run(mine, "dvc", "push"))
    succeeded(run(tmp_path, "git", "clone", "--quiet", str(mine), str(theirs)))
    return mine, theirs


def damage(files: AbstractFileSystem, url: str, path: Path) -> tuple[str, bytes]:
    """Flip one bit of what a remote keeps of a file; returns where it lies there, and what is right."""
    right, digest = path.read_bytes(), md5(path)
    stored = f"{url}/files/md5/{digest[:2]}/{digest[2:]}"
    replace(files, stored, bytes([right[0] ^ 1]) + right[1:])
    return stored, right


def replace(files: AbstractFileSystem, path: str, content: bytes) -> None:
    files.rm_file(path)  # DVC leaves it read-only in a folder
    files.pipe_file(path, content)


WEIGHTS = "artifacts/backbones/tiny/open_clip_model.safetensors"


def test_a_colleague_pulls_what_was_pushed_and_runs_nothing(by_dvc, remote, tmp_path):
    files, url, options = remote
    mine, theirs = shared(by_dvc, tmp_path, url, options | {"verify": "true"})
    stored, right = damage(files, url, mine / WEIGHTS)
    done = run(theirs, "dvc", "pull", "backbone@tiny")
    assert done.returncode == 1 and "Checkout failed for following targets:\nartifacts/backbones/tiny" in done.stderr
    assert not (theirs / WEIGHTS).exists()

    replace(files, stored, right)
    succeeded(run(theirs, "dvc", "pull"))
    done = succeeded(run(theirs, "dvc", "repro"))
    assert "Running stage" not in done.stdout and "Data and pipelines are up to date." in done.stdout
    assert outputs(theirs) == outputs(mine)


@pytest.mark.slow
def test_without_verify_dvc_takes_what_is_damaged(by_dvc, tmp_path):
    """Why docs/engines.md asks for `verify`: when this fails, it need not any more."""
    url = str(tmp_path / "share")
    mine, theirs = shared(by_dvc, tmp_path, url, {})
    damage(LocalFileSystem(), url, mine / WEIGHTS)
    succeeded(run(theirs, "dvc", "pull"))
    assert rerun(theirs, "dvc", dry=True) == set()
    assert (theirs / WEIGHTS).read_bytes() != (mine / WEIGHTS).read_bytes()


@pytest.mark.slow
def test_every_method_gives_the_same_bytes_under_every_engine(params, tmp_path):
    labels_alone = {"unlabeled_ratio": 0, "losses": {"labeled": 1}}
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
    params["grid"]["seed"] = [0]
    found = []
    for number, engine in enumerate((("dvc", "repro"), ("snakemake", "--cores", "1"), ("snakemake", "--cores", "2"))):
        folder = project.make_project(tmp_path / str(number))
        project.write_params(folder, params)
        succeeded(run(folder, *engine))
        found.append(outputs(folder))
    assert any("/fft/" in name for name in found[0])
    assert found[0] == found[1] == found[2]
