"""DVC and Snakemake: the same graph, for every study."""

import copy
import re
import shutil
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest
from dvc.repo import Repo

from tests.helpers import project
from tests.helpers.project import ROOT, run, succeeded
from ulfine.data.downsampled import NAMES
from ulfine.params.base import read_yaml
from ulfine.params.root import load
from ulfine.runner.jobs import CONFIG, PARAMS
from ulfine.runner.resolve import resolved
from ulfine.runner.study import studies


def dvc_graph(folder: Path) -> dict[str, tuple[str, set[str]]]:
    """Output -> (command, inputs), but for `resolve`, which Snakemake does as it reads its rules."""
    with Repo(str(folder)) as repo:
        stages = [stage for stage in repo.index.stages if stage.name != "resolve"]
        return {str(out): (stage.cmd, {str(dep) for dep in stage.deps}) for stage in stages for out in stage.outs}


def snakemake_graph(folder: Path) -> dict[str, tuple[str, set[str]]]:
    """The same from Snakemake's plan of all jobs."""
    done = succeeded(run(folder, "snakemake", "--dry-run", "--forceall", "--printshellcmds", "--cores", "2"))
    graph = {}
    for job in re.findall(
        r"^rule \w+:\n    input: .*\n    output: .*\n(?:    .*\n)*Shell command: .*", done.stdout, re.MULTILINE
    ):
        lines = dict(line.strip().split(": ", 1) for line in job.splitlines()[1:])
        inputs = set(lines["input"].split(", "))
        graph |= dict.fromkeys(lines["output"].split(", "), (lines["Shell command"], inputs))
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
    for output, (command, inputs) in snakemake.items():
        found = inputs
        if "aggregate" in command or "report" in command:  # DVC has no list of inputs: it watches the folder
            found = {"results/cells" if path.startswith("results/cells/") else path for path in inputs}
        assert (command, found) == dvc[output], output


def leaves(values: object, key: str = "") -> Iterator[str]:
    if isinstance(values, dict) and values:
        for name, value in values.items():
            yield from leaves(value, f"{key}.{name}")
    else:
        yield f"{key}={values}"


def test_every_parameter_of_the_grid_reaches_a_job(clone, monkeypatch):
    """Of the entries that the grid chooses; the others do once it chooses them."""
    monkeypatch.chdir(clone)
    params = copy.deepcopy(read_yaml(PARAMS))
    params["grid"] |= {"method": ["lp", "ulfine"], "baseline": ["scratch_short"], "sweep": ["lp"]}
    project.write_params(clone, params)
    configs = [values for path, values in resolved(load(PARAMS)).items() if path.is_relative_to(CONFIG)]
    reached = {leaf.rsplit(".", 1)[-1] for values in configs for leaf in leaves(values)}
    chosen = load(PARAMS)
    told = [chosen.methods[name] for name in ("lp", "ulfine", "scratch_short")]
    for dataset, split in product(chosen.grid.dataset, chosen.grid.split):
        told += [chosen.datasets[dataset].source, chosen.datasets[dataset].splits[split]]
    told += [chosen.backbones[name] for name in chosen.grid.backbone]
    told += [*map(chosen.augmentation, chosen.grid.dataset), chosen.claims, chosen.page, chosen.runtime, chosen.grid]
    unused = {leaf.rsplit(".", 1)[-1] for section in told for leaf in leaves(section.as_json())} - reached
    assert unused == set()
