"""DVC and Snakemake: the same graph, for every study."""

import copy
import json
import re
import shutil
from pathlib import Path

import pytest
from dvc.dependency.param import ParamsDependency
from dvc.repo import Repo

from tests import project
from tests.project import ROOT, run, succeeded
from ulfine.data.downsampled import NAMES
from ulfine.params.base import read_yaml
from ulfine.study import studies

PARAMETER_FILES = ".snakemake/params/"


def dvc_graph(folder: Path) -> dict[str, tuple[str, set[str], set[str]]]:
    """Output -> (command, inputs, parameter keys)."""
    graph = {}
    with Repo(str(folder)) as repo:
        for stage in repo.index.stages:
            keys = {key for dep in stage.deps if isinstance(dep, ParamsDependency) for key in dep.params}
            inputs = {str(dep) for dep in stage.deps if not isinstance(dep, ParamsDependency)}
            for out in stage.outs:
                graph[str(out)] = (stage.cmd, inputs, keys)
    return graph


def snakemake_graph(folder: Path) -> dict[str, tuple[str, set[str], set[str]]]:
    """The same from Snakemake's plan of all jobs; parameter keys are those in the resolved-parameter file of a job."""
    done = succeeded(run(folder, "snakemake", "--dry-run", "--forceall", "--printshellcmds", "--cores", "2"))
    graph = {}
    for job in re.findall(
        r"^rule \w+:\n    input: .*\n    output: .*\n(?:    .*\n)*Shell command: .*", done.stdout, re.MULTILINE
    ):
        lines = dict(line.strip().split(": ", 1) for line in job.splitlines()[1:])
        inputs = set(lines["input"].split(", "))
        resolved = {path for path in inputs if path.startswith(PARAMETER_FILES)}
        keys = {key for path in resolved for key in json.loads((folder / path).read_text())["values"]}
        graph |= dict.fromkeys(lines["output"].split(", "), (lines["Shell command"], inputs - resolved, keys))
    return graph


@pytest.fixture(scope="module")
def clone(tmp_path_factory) -> Path:
    """The project as committed, before any run; of pictures that users place, empty files: the check only counts."""
    folder = tmp_path_factory.mktemp("clone")
    code = [name for name in project.CODE if not name.startswith("assets/")]
    for name in (*code, ".dvc/config", "params.yaml", "studies", "assets"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        (folder / name).parent.mkdir(exist_ok=True)
        copy(ROOT / name, folder / name)
    for place, head in (("cifar10/train", 5000), ("cifar10/test", 1), ("openclipart", 1)):
        for k in range(10):
            (folder / "data" / place / str(k)).mkdir(parents=True)
            for number in range(int(head * 0.65**k) + (150 if head > 1 else 10)):
                (folder / "data" / place / str(k) / f"{number}.jpg").touch()
    (folder / "data/imagenet64").mkdir()
    for name in (*NAMES["train"], *NAMES["test"]):
        (folder / "data/imagenet64" / name).touch()
    params = (folder / "params.yaml").read_text()
    (folder / "params.yaml").write_text(params.replace("/usr/share/openclipart/png", "data/openclipart"))
    succeeded(run(folder, "git", "init", "-q"))
    return folder


FAST = ("default", "cifar10-short")  # without and with a baseline; the others differ in names alone


@pytest.mark.parametrize(
    "study",
    [name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in studies(ROOT / "studies")],
)
def test_both_engines_have_the_same_graph(clone, study):
    succeeded(run(clone, "python", "-m", "ulfine", "study", study))
    dvc, snakemake = dvc_graph(clone), snakemake_graph(clone)
    assert dvc.keys() == snakemake.keys()
    for output, (command, inputs, keys) in snakemake.items():
        found = inputs
        if "aggregate" in command or "report" in command:  # DVC has no list of inputs: it watches the folder
            found = {"results/cells" if path.startswith("results/cells/") else path for path in inputs}
        assert (command, found, keys) == dvc[output], output


def leaves(values: object, key: str = "") -> list[str]:
    if not isinstance(values, dict) or not values:
        return [key.lstrip(".")]
    return [leaf for name, value in values.items() for leaf in leaves(value, f"{key}.{name}")]


def test_every_key_of_the_parameters_is_watched_by_a_stage(clone):
    """Of the entries that the grid chooses; the others are watched once it chooses them."""
    succeeded(run(clone, "python", "-m", "ulfine", "study", "default"))
    params = copy.deepcopy(read_yaml(clone / "params.yaml"))
    grid = params["grid"]
    grid["method"] += grid["baseline"]
    for section in ("dataset", "backbone", "method", "sweep"):
        params[f"{section}s"] = {name: params[f"{section}s"][name] for name in grid[section]}
    if not params["sweeps"]:
        del params["sweeps"]
    for dataset in params["datasets"].values():
        dataset["settings"] = {name: dataset["settings"][name] for name in grid["setting"]}
    watched = {key for _, _, keys in dvc_graph(clone).values() for key in keys}
    unwatched = [leaf for leaf in leaves(params) if not any(f"{leaf}.".startswith(f"{key}.") for key in watched)]
    assert unwatched == []
