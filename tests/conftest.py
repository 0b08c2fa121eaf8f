import copy
import os
import runpy
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers import project, standins
from tests.helpers.reruns import copied
from ulfine.locks import alone


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, or one worker sits idle while the other is left with them."""
    longest = ["test_engines.py", "test_stages.py", "test_reruns.py", "test_together.py", "test_handover.py"]
    items.sort(key=lambda item: longest.index(item.path.name) if item.path.name in longest else len(longest))


def made_once(
    factory: pytest.TempPathFactory,
    name: str,
    make: Callable[[Path], None],
    begin: Callable[[Path], Path] = project.make_project,
) -> Path:
    """A tiny project that the first of all workers makes, and the others wait for; copy it, never change it."""
    base = factory.getbasetemp()
    base = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / f"once-{name}"
    with alone(base / "lock", name):
        if not (base / "made").exists():
            make(begin(base / "project"))
            (base / "made").touch()
    return base / "project"


@pytest.fixture(scope="session")
def prepared(tmp_path_factory) -> Path:
    """A project whose configurations, data, backbone, splits and features are made."""

    def make(folder: Path) -> None:
        names = project.CELL | {"method": "lp"}
        for name, keys in (
            ("resolve", ()),
            ("data", ("dataset",)),
            ("backbone", ("backbone",)),
            ("split", ("dataset", "split", "seed")),
            ("features", ("dataset", "split", "backbone", "seed")),
        ):
            project.succeeded(project.stage(folder, name, **{key: names[key] for key in keys}))

    return made_once(tmp_path_factory, "prepared", make)


@pytest.fixture(scope="session")
def trained(prepared, tmp_path_factory) -> Path:
    """The prepared project with one trained cell of every kind, and traces of its stages; copy it, never change it."""

    def make(folder: Path) -> None:
        def run(name: str, **names: str | int) -> None:
            project.succeeded(project.stage(folder, name, **names))

        for method in ("zero_shot", "lp", "ulfine"):
            run("train", **project.CELL, method=method)
            shutil.copy(folder / "trace-train.json", folder / f"trace-train-{method}.json")
            run("evaluate", **project.CELL, method=method)
        run("baseline", **project.SCRATCH)
        run("evaluate", **project.BASELINE)
        run("sweep", **project.CELL, method="lft")
        shutil.move(folder / "trace-sweep.json", folder / "trace-sweep-lft.json")
        run("sweep", **project.CELL, method="frozen")
        grid = {"seed": [0], "method": ["zero_shot", "ulfine"], "baseline": ["scratch"]}  # lp is left over
        project.write_params(folder, project.PARAMS | {"grid": project.PARAMS["grid"] | grid})
        run("aggregate")
        run("report")

    return made_once(tmp_path_factory, "trained", make, lambda at: Path(shutil.copytree(prepared, at)))


@pytest.fixture(scope="session")
def by_dvc(tmp_path_factory) -> Path:
    """A project after `dvc repro`."""
    return made_once(tmp_path_factory, "dvc", lambda at: project.succeeded(project.run_offline(at, "dvc", "repro")))


@pytest.fixture(scope="session")
def by_snakemake(tmp_path_factory) -> Path:
    """A project after `snakemake --cores 2`."""
    command = ("snakemake", "--cores", "2")
    return made_once(tmp_path_factory, "snakemake", lambda at: project.succeeded(project.run_offline(at, *command)))


@pytest.fixture(params=["by_dvc", "by_snakemake"])
def made(request, tmp_path) -> Path:
    """A copy that a test may change, made by either engine."""
    return copied(request.getfixturevalue(request.param), tmp_path)


@pytest.fixture(scope="session")
def made_by(request, tmp_path_factory) -> Path:
    """A project after `dvc repro`, after Snakemake, or after Snakemake and `ulfine commit`."""
    by = request.param

    def make(folder: Path) -> None:
        project.succeeded(project.run(folder, *(("dvc", "repro") if by == "dvc" else ("snakemake", "--cores", "2"))))
        if by == "commit":
            project.succeeded(project.run(folder, "ulfine", "commit"))

    return made_once(tmp_path_factory, f"standins-{by}", make, standins.make)


@pytest.fixture
def folder(made_by, tmp_path, monkeypatch) -> Path:
    """The current folder, a copy that a test may change."""
    found = copied(made_by, tmp_path)
    monkeypatch.chdir(found)
    return found


@pytest.fixture
def tiny(prepared, tmp_path) -> Path:
    """A copy of the prepared project that a test may break."""
    return shutil.copytree(prepared, tmp_path / "project")


@pytest.fixture
def params() -> dict:
    """Parameters that a test may change."""
    return copy.deepcopy(project.PARAMS)


@pytest.fixture
def ended(monkeypatch) -> Callable[..., str]:
    """Run a stage in this process, on the current folder, where it must fail; the line that it ends with."""
    monkeypatch.setattr("ulfine.runner.stage._require_own_package", lambda: None)

    def run(stage: str, **names: str | int) -> str:
        project.configure(Path.cwd(), stage, names)
        monkeypatch.setattr(sys, "argv", [stage, *project.options(names)])
        with pytest.raises(SystemExit) as caught:
            runpy.run_path(str(project.ROOT / "stages" / f"{stage}.py"), run_name="__main__")
        line = caught.value.code
        assert isinstance(line, str) and line.isprintable(), line
        return line

    return run
