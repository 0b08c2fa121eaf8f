"""Where a project may lie: on links into DVC's cache, beside a large disk, without git."""

import shutil
from pathlib import Path

import pytest

from tests.helpers.project import run, succeeded
from tests.helpers.reruns import rerun
from tests.test_reruns import LEARNING_RATE, OF_LP, expected, shuffle_times


@pytest.mark.parametrize("made_by", ["dvc"], indirect=True)
@pytest.mark.parametrize("kind", ["symlink", pytest.param("hardlink", marks=pytest.mark.slow)])
def test_links_into_the_cache_rerun_nothing_under_either_engine(folder, kind):
    succeeded(run(folder, "dvc", "config", "cache.type", kind))
    succeeded(run(folder, "dvc", "checkout", "--relink"))
    split = folder / "artifacts/splits/shapes/tail/seed0.json"
    assert split.is_symlink() if kind == "symlink" else split.stat().st_nlink > 1
    assert rerun(folder, "snakemake", dry=True) == set()
    shuffle_times(folder)
    before = {path: path.read_bytes() for path in (folder / ".dvc/cache").rglob("*") if path.is_file()}
    assert rerun(folder, "snakemake", dry=True) == set()
    LEARNING_RATE(folder)
    assert rerun(folder, "snakemake") == expected(OF_LP)
    succeeded(run(folder, "ulfine", "commit"))
    assert rerun(folder, "dvc") == set() == rerun(folder, "snakemake", dry=True)
    assert before == {path: path.read_bytes() for path in before}


@pytest.mark.parametrize("name", ["artifacts", "results", "artifacts/data"])
def test_outputs_behind_a_link_are_refused_before_any_work(tiny, ended, monkeypatch, name):
    monkeypatch.chdir(tiny)
    shutil.rmtree(name, ignore_errors=True)
    (tiny.parent / "disk").mkdir()
    Path(name).symlink_to(tiny.parent / "disk")
    assert ended("resolve").startswith(
        f"resolve: {name}: is a link, and DVC follows none out of the repository; remove it"
    )


@pytest.mark.parametrize("made_by", ["dvc"], indirect=True)
def test_an_archive_of_the_source_runs_without_git_until_there_is_one(folder):
    shutil.rmtree(folder / ".git")
    assert run(folder, "dvc", "repro").returncode != 0
    LEARNING_RATE(folder)
    ready = ("ulfine", "preflight")
    assert succeeded(run(folder, *ready)).stdout == "no git repository here: DVC goes without one from now on\n"
    assert succeeded(run(folder, *ready)).stdout == ""
    assert rerun(folder, "dvc") == expected(f"resolve {OF_LP}")
    assert rerun(folder, "snakemake", dry=True) == set()
    succeeded(run(folder, "git", "init", "--quiet"))
    assert succeeded(run(folder, *ready)).stdout == "a git repository here: DVC goes with one from now on\n"
    assert succeeded(run(folder, "dvc", "params", "diff")).returncode == 0
