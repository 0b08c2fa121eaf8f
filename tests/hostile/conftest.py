"""A project to damage. Stages run in this process: hundreds of processes for as many cases would take minutes."""

import copy
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers import project
from tests.helpers.project import ABOUT, ROOT


@pytest.fixture(scope="session")
def pictures(tmp_path_factory) -> Path:
    """Make pictures of four classes; no test may change them."""
    folder = tmp_path_factory.mktemp("pictures")
    project.write_pictures(folder, train=22, test=1)
    return folder


@pytest.fixture
def here(tmp_path, pictures, monkeypatch) -> Path:
    """Fill the current folder: params.yaml, dvc.yaml, and the pictures."""
    shutil.copy(ROOT / "dvc.yaml", tmp_path)
    (tmp_path / "pictures").symlink_to(pictures)
    project.write_params(tmp_path, project.PARAMS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def refused(here, ended) -> Callable[..., str]:
    """Run a stage that must fail with one line and leave nothing; return the line without the name of the stage."""

    def run(stage: str, **names: str | int) -> str:
        before = content(here)
        line = ended(stage, **names)
        assert content(here) == before
        return line.removeprefix(" ".join([stage, *(str(value) for value in names.values())]) + ": ")

    return run


def content(folder: Path) -> dict[str, int]:
    """Return files and their sizes, except what a stage records about itself before it starts."""
    files = (path for path in folder.rglob("*") if path.is_file() and not {".snakemake", *ABOUT} & {*path.parts})
    return {str(path): path.stat().st_size for path in files}


def use(here: Path, **source) -> None:
    """Make params.yaml name another source."""
    params = copy.deepcopy(project.PARAMS)
    params["datasets"]["shapes"]["source"] = {"licence": "none"} | source
    project.write_params(here, params)
