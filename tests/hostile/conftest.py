"""A project to spoil. Stages run on it in this process: hundreds of cases in as many processes would take minutes."""

import copy
import runpy
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import project
from tests.project import ROOT


@pytest.fixture(scope="session")
def pictures(tmp_path_factory) -> Path:
    """Pictures of four classes that no test may change."""
    folder = tmp_path_factory.mktemp("pictures")
    project.write_pictures(folder, train=22, test=1)
    return folder


@pytest.fixture
def here(tmp_path, pictures, monkeypatch) -> Path:
    """The current folder: params.yaml, dvc.yaml, and the pictures."""
    shutil.copy(ROOT / "dvc.yaml", tmp_path)
    (tmp_path / "pictures").symlink_to(pictures)
    project.write_params(tmp_path, project.PARAMS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("ulfine.stage._require_own_package", lambda: None)
    return tmp_path


@pytest.fixture
def refused(here, monkeypatch) -> Callable[..., str]:
    """Run a stage that must fail, in one line, with nothing left behind; the line without the name of the stage."""

    def run(stage: str, **names: str | int) -> str:
        arguments = [argument for key, value in names.items() for argument in (f"--{key}", str(value))]
        monkeypatch.setattr(sys, "argv", [stage, *arguments])
        before = content(here)
        with pytest.raises(SystemExit) as caught:
            runpy.run_path(str(ROOT / "stages" / f"{stage}.py"), run_name="__main__")
        line = caught.value.code
        assert isinstance(line, str) and line.isprintable(), line
        assert content(here) == before
        return line.removeprefix(" ".join([stage, *(str(value) for value in names.values())]) + ": ")

    return run


def content(folder: Path) -> dict[str, int]:
    """Files by size, but for what a stage resolves of its parameters before it starts."""
    files = (path for path in folder.rglob("*") if path.is_file() and ".snakemake" not in path.parts)
    return {str(path): path.stat().st_size for path in files}


def use(here: Path, **source) -> None:
    """Let params.yaml name another source."""
    params = copy.deepcopy(project.PARAMS)
    params["datasets"]["shapes"]["source"] = {"licence": "none"} | source
    project.write_params(here, params)
