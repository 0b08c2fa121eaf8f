"""DVC's experiments: in folders of their own, by workers beside each other, with no variable set."""

import re
import time
from pathlib import Path

import pytest

from tests.helpers.project import run, succeeded
from tests.helpers.reruns import commit
from tests.test_reruns import SCORE

RATE = "+methods.lp.train.lr={}"


def scored(folder: Path, name: str) -> str:
    """The score of one cell, as an experiment left it."""
    (found,) = succeeded(
        run(folder, "git", "for-each-ref", "--format=%(refname)", f"refs/exps/*/*/{name}")
    ).stdout.split()
    return succeeded(run(folder, "git", "show", f"{found}:{SCORE}")).stdout


@pytest.mark.slow
@pytest.mark.parametrize("made_by", ["dvc"], indirect=True)
def test_experiments_run_in_folders_of_their_own_and_two_at_a_time(folder):
    commit(folder)
    before = (folder / SCORE).read_text()
    succeeded(run(folder, "dvc", "exp", "run", "--temp", "--name", "temporary", "--set-param", RATE.format(0.1)))
    for name, rate in (("queued", 0.1), ("other", 0.2)):
        succeeded(run(folder, "dvc", "exp", "run", "--queue", "--name", name, "--set-param", RATE.format(rate)))
    succeeded(run(folder, "dvc", "queue", "start", "--jobs", "2"))
    deadline = time.monotonic() + 250
    while re.search(r"\b(Queued|Running)\b", told := succeeded(run(folder, "dvc", "queue", "status")).stdout):
        assert time.monotonic() < deadline, told
        time.sleep(2)
    assert told.count("Success") == 2, told
    assert scored(folder, "temporary") == scored(folder, "queued")
    assert len({before, scored(folder, "queued"), scored(folder, "other")}) == 3
    shown = succeeded(run(folder, "dvc", "exp", "show", "--only-changed", "--csv")).stdout
    assert {"temporary", "queued", "other"} <= {name for line in shown.splitlines() for name in line.split(",")}
    assert (folder / SCORE).read_text() == before and not succeeded(run(folder, "git", "status", "--short")).stdout

    succeeded(run(folder, "dvc", "exp", "apply", "other"))
    assert (folder / SCORE).read_text() == scored(folder, "other")
    assert "up to date" in succeeded(run(folder, "dvc", "status")).stdout
    assert "    lr: 0.2" in (folder / "params.yaml").read_text()
