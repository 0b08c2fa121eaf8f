"""What runs again after a change: the table of docs/engines.md, a row at a time.

On a pipeline without its work (tests/helpers/standins.py); results are by either engine, for the other one too.
"""

import fnmatch
import os
import random
import re
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.helpers import project, standins
from tests.helpers.project import ROOT, run, succeeded
from tests.helpers.reruns import commit, edit, rerun
from ulfine.runner.jobs import jobs

Change = Callable[[Path], object]
RUN = "artifacts/runs/shapes/tail/tiny/lp/seed0"
SCORE = "results/cells/shapes/tail/tiny/lp/seed0/metrics.json"


def change(**values: Any) -> Change:
    """Edit params.yaml: keys have __ for their dots."""

    def edited(folder: Path) -> None:
        params = yaml.safe_load((folder / "params.yaml").read_text())
        for key, value in values.items():
            *above, last = key.split("__")
            section = params
            for name in above:
                section = section[name]
            section[last] = value
        project.write_params(folder, params)

    return edited


def other_order(folder: Path) -> None:
    params = yaml.safe_load((folder / "params.yaml").read_text())
    params["train"] = dict(reversed(params["train"].items()))
    project.write_params(folder, dict(reversed(params.items())))


def comment(folder: Path) -> None:
    (folder / "params.yaml").write_text(f"# why\n{(folder / 'params.yaml').read_text()}")


def remark(folder: Path) -> None:
    edit(folder / "stages/split.py", "# a comment")
    module = folder / "ulfine/evaluation/metrics.py"
    module.write_text(re.sub('"""(.*)"""', r'"""So: \1"""  # why', module.read_text()).replace("\n\n\n", "\n\n\n\n"))


def touch(folder: Path) -> None:
    for name in ("stages", "ulfine", "pictures", "params.yaml", "dvc.yaml", "artifacts/splits", RUN):
        for path in (folder / name, *(folder / name).rglob("*")):
            path.touch()


def shuffle_times(folder: Path) -> None:
    """As they may be after a clone, a pull or a copy."""
    draw, now = random.Random(0), time.time_ns()  # noqa: S311
    for path in sorted(folder.rglob("*")):
        when = now - draw.randrange(365 * 24 * 3600 * 10**9)
        os.utime(path, ns=(when, when), follow_symlinks=False)


def by_another_seed(folder: Path) -> None:
    shutil.rmtree(folder / RUN)
    shutil.copytree((folder / RUN).with_name("seed1"), folder / RUN, copy_function=shutil.copyfile)


def clone_and_pull(folder: Path) -> None:
    """Make of `folder` what a clone of it would be, whose remote has what `dvc push` would have put there."""
    share = folder.with_name("share")
    shutil.copytree(folder / ".dvc/cache", share)
    with (folder / ".dvc/config").open("a") as config:
        config.write(f"    remote = share\n['remote \"share\"']\n    url = {share}\n")
    commit(folder)
    for path in folder.iterdir():
        if path.name != ".git":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    succeeded(run(folder, "git", "checkout", "--quiet", "."))
    succeeded(run(folder, "dvc", "pull"))


def clone_with_leftovers(folder: Path) -> None:
    """After a seed, a method and a split were dropped, whose files stay in the tree."""
    change(grid__seed=[1], grid__split=["flat"], grid__baseline=[])(folder)
    succeeded(run(folder, "dvc", "repro"))
    clone_and_pull(folder)
    assert "up to date" in succeeded(run(folder, "dvc", "status")).stdout
    assert (folder / SCORE).exists() and not (folder / RUN).exists()


def go_back_a_commit(folder: Path) -> None:
    """After a run of one cell with another value, which was committed as well."""
    commit(folder)
    LEARNING_RATE(folder)
    change(grid__split=["tail"], grid__seed=[0], grid__baseline=[])(folder)
    succeeded(run(folder, "dvc", "repro"))
    commit(folder)
    succeeded(run(folder, "git", "checkout", "--quiet", "HEAD~"))
    succeeded(run(folder, "dvc", "checkout"))


LEARNING_RATE = change(methods__lp__train={"lr": 0.02})
OF_LP = "train@* evaluate@* aggregate report"
OF_SCORE = "evaluate@*-tail-*-0 aggregate report"
OF_RUN = f"train@*-tail-*-0 {OF_SCORE}"
ALL_CELLS = "train@* baseline@* evaluate@* evaluate_baseline@* sweep@* aggregate report"


@dataclass(frozen=True)
class Row:
    """A change, and patterns of the stages that it reruns: under both engines, and beside these under one."""

    change: Change
    both: str = ""
    dvc: str = ""
    snakemake: str = ""
    restored: str = ""  # by DVC where `ulfine commit` has written it down, else made again in seconds
    back: Change | None = None  # undoes the change, once the engine has run
    by_dvc: bool = False  # the change takes results that DVC knows


TABLE = {
    "one number of one method": Row(LEARNING_RATE, OF_LP, dvc="resolve"),
    "one number of a method that others extend": Row(change(methods__probe__train={"lr": 0.02}), OF_LP, dvc="resolve"),
    "one number of one split": Row(
        change(datasets__shapes__splits__flat__n1=8),
        "split@*-flat-* features@*-flat-* train@*-flat-* baseline@*-flat-* evaluate@*-flat-* "
        "evaluate_baseline@*-flat-* sweep@*-flat-* aggregate report",
        dvc="resolve",
    ),
    "a value of a sweep": Row(change(sweeps__frozen={"dlf.eta": [0, 1]}), "sweep@* aggregate report", dvc="resolve"),
    "one number of `train`": Row(change(train__threshold=0.4), ALL_CELLS, dvc="resolve"),
    "a seed more": Row(
        change(grid__seed=[0, 1, 2]),
        "split@*-2 features@*-2 train@*-2 baseline@*-2 evaluate@*-2 evaluate_baseline@*-2 sweep@*-2 aggregate report",
        dvc="resolve",
    ),
    "a seed less": Row(change(grid__seed=[1]), "aggregate report", dvc="resolve"),
    "a method less": Row(change(grid__baseline=[]), "aggregate report", dvc="resolve"),
    "another study, of cells that are there": Row(
        change(study="other", grid__split=["flat"]), "aggregate report", dvc="resolve"
    ),
    "a comment in `params.yaml`": Row(comment, dvc="resolve"),
    "the order of keys": Row(other_order, dvc="resolve"),
    "`2` written as `2.0`": Row(
        change(train__scale=25.0, datasets__shapes__splits__flat__gamma_labeled=3.0), dvc="resolve"
    ),
    "a number, and back, with a run between": Row(
        LEARNING_RATE,
        dvc="resolve",
        restored="evaluate@* aggregate report",
        snakemake=OF_LP,
        back=change(methods__lp={"extends": "probe"}),
    ),
    "a comment or a docstring in the code": Row(remark, dvc="resolve"),
    "a file of the runner": Row(lambda folder: edit(folder / "ulfine/runner/stage.py"), dvc="resolve"),
    "what a script does": Row(
        lambda folder: edit(folder / "stages/split.py"), "split@*", dvc="resolve", snakemake=f"features@* {ALL_CELLS}"
    ),
    "what a module does": Row(
        lambda folder: edit(folder / "ulfine/evaluation/metrics.py"),
        "evaluate@* evaluate_baseline@* sweep@* report",
        dvc="resolve",
        snakemake="aggregate",
    ),
    "the time of files alone": Row(touch),
    "all times, as after a copy": Row(shuffle_times),
    "a clone, and `dvc pull`": Row(clone_and_pull, by_dvc=True),
    "the same, where cells were dropped before": Row(clone_with_leftovers, by_dvc=True),
    "`git checkout`, and `dvc checkout`": Row(go_back_a_commit, by_dvc=True),
    "an artifact deleted": Row(lambda folder: shutil.rmtree(folder / RUN), snakemake=OF_RUN),
    "an artifact replaced": Row(by_another_seed, snakemake=OF_RUN),
    "a file of `results/` deleted": Row(
        lambda folder: (folder / SCORE).unlink(), restored="evaluate@*-tail-*-0", snakemake=OF_SCORE
    ),
    "a file of `results/` replaced": Row(
        lambda folder: (folder / SCORE).write_text("other"), restored="evaluate@*-tail-*-0", snakemake=OF_SCORE
    ),
    "a picture or a checkpoint under the same name": Row(
        lambda folder: [path.write_bytes(b"new") for path in (folder / "tiny.pt", *folder.glob("pictures/*/*/00.png"))]
    ),
}
DECISIVE = (  # rows that are fast; Snakemake's plan is exact and cheap, so that it has more of them
    "one number of one method",
    "`2` written as `2.0`",
    "all times, as after a copy",
    "an artifact replaced",
)
PLANNED = (
    *DECISIVE,
    "one number of a method that others extend",
    "one number of one split",
    "a seed more",
    "a comment in `params.yaml`",
    "a comment or a docstring in the code",
    "a file of the runner",
    "what a script does",
    "what a module does",
    "a clone, and `dvc pull`",
    "a file of `results/` replaced",
    "a picture or a checkpoint under the same name",
)


def test_the_table_of_the_page_has_these_rows():
    section = re.search(r"^## What reruns\n(.*?)^## ", (ROOT / "docs/engines.md").read_text(), re.MULTILINE | re.DOTALL)
    first = re.findall(r"^\| (.*?) \|", section[1], re.MULTILINE)
    assert first == ["change", *TABLE]


def expected(patterns: str) -> set[str]:
    """The jobs of the grid in the current folder that the patterns stand for."""
    names = {"resolve", *(job.address for job in jobs())}
    found = [set(fnmatch.filter(names, pattern)) for pattern in patterns.split()]
    assert all(found), patterns
    return set().union(*found)


def cases(made_by: Callable[[Row], tuple[str, ...]], fast: Callable[[str, str], bool]) -> pytest.MarkDecorator:
    """Every row, by who made the results."""
    found = []
    for name, row in TABLE.items():
        for by in made_by(row):
            marks = [] if fast(name, by) else pytest.mark.slow
            found.append(pytest.param(by, name, marks=marks, id=f"{name}, made by {by}"))
    return pytest.mark.parametrize(("made_by", "name"), found, indirect=["made_by"])


def changed(folder: Path, row: Row, engine: str) -> None:
    """Make the change, and undo it if the row does."""
    row.change(folder)
    if row.back:
        assert rerun(folder, engine) != set()
        row.back(folder)


@cases(lambda _: ("dvc", "commit"), fast=lambda name, by: by == "dvc" and name in DECISIVE)
def test_dvc_reruns(folder, name):
    row = TABLE[name]
    changed(folder, row, "dvc")
    assert rerun(folder, "dvc") - expected(row.restored) == expected(f"{row.both} {row.dvc}")
    assert standins.stale() == []
    if row.snakemake:  # would have run more; but DVC has restored something, or made the same bytes again
        assert rerun(folder, "snakemake", dry=True) == set()


@cases(
    lambda row: ("dvc", "commit" if row.by_dvc else "snakemake"),
    fast=lambda name, by: by == "dvc" and name in PLANNED,
)
def test_snakemake_plans(folder, name):
    row = TABLE[name]
    changed(folder, row, "snakemake")
    assert rerun(folder, "snakemake", dry=True) == expected(f"{row.both} {row.snakemake}")


@cases(lambda _: ("dvc",), fast=lambda *_: False)
def test_snakemake_does_what_it_plans_and_dvc_takes_it_over(folder, name):
    row = TABLE[name]
    changed(folder, row, "snakemake")
    assert rerun(folder, "snakemake") == expected(f"{row.both} {row.snakemake}")
    assert standins.stale() == []
    assert rerun(folder, "snakemake", dry=True) == set()
    succeeded(run(folder, "ulfine", "commit"))
    assert rerun(folder, "dvc") == set()


@pytest.mark.parametrize("made_by", ["dvc"], indirect=True)
def test_the_same_results_made_again_leave_git_clean(folder):
    """What is scored need not be scored again, so that seconds, which differ, stay as committed."""
    commit(folder)
    for path in ("artifacts", ".dvc/cache", ".dvc/tmp"):
        shutil.rmtree(folder / path)
    assert {"train@shapes-tail-tiny-lp-0", "sweep@shapes-tail-tiny-frozen-0"} - rerun(folder, "dvc") == {
        "sweep@shapes-tail-tiny-frozen-0"
    }
    assert not succeeded(run(folder, "git", "status", "--short")).stdout
    assert "stale" not in succeeded(run(folder, "ulfine", "status")).stdout
    assert rerun(folder, "snakemake", dry=True) == set()


@pytest.mark.parametrize("made_by", ["dvc"], indirect=True)
def test_what_dvc_was_told_to_record_is_not_taken_for_right(folder):
    """`dvc commit --force` writes down whatever is there; provenance knows which results are of the old value."""

    def stale_by_itself() -> set[str]:
        told = run(folder, "ulfine", "verify")
        assert told.returncode == 1
        return set(re.findall(r"^(\S+): stale: ", told.stdout, re.MULTILINE))

    def made(*names: str) -> None:
        succeeded(run(folder, "dvc", "repro", "--single-item", *names))

    LEARNING_RATE(folder)
    made("resolve", "train@shapes-tail-tiny-lp-0", "evaluate@shapes-tail-tiny-lp-0")
    succeeded(run(folder, "dvc", "commit", "--force"))
    assert "up to date" in succeeded(run(folder, "dvc", "status")).stdout
    left = {"train@shapes-tail-tiny-lp-1", "train@shapes-flat-tiny-lp-0", "train@shapes-flat-tiny-lp-1"}
    for _ in range(2):  # looking changes nothing
        assert rerun(folder, "snakemake", dry=True) == expected(OF_LP) - {
            "train@shapes-tail-tiny-lp-0",
            "evaluate@shapes-tail-tiny-lp-0",
        }
        assert stale_by_itself() == left | {"aggregate", "report"}
    for name in sorted(left):
        made("--force", name, name.replace("train", "evaluate"))
    succeeded(run(folder, "dvc", "commit", "--force"))
    assert rerun(folder, "snakemake", dry=True) == {"aggregate", "report"}
    assert stale_by_itself() == {"aggregate", "report"}
