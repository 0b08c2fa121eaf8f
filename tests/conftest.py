import copy
import shutil
from pathlib import Path

import pytest

from tests import project


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, or one worker sits idle while the other is left with them."""
    longest = ["test_engines.py", "test_stages.py"]
    items.sort(key=lambda item: longest.index(item.path.name) if item.path.name in longest else len(longest))


@pytest.fixture(scope="session")
def prepared(tmp_path_factory) -> Path:
    """A tiny project whose manifests, data, backbone, splits and features are made; copy it, never change it."""
    folder = project.make_project(tmp_path_factory.mktemp("prepared"))
    names = project.CELL
    for name, keys in (
        ("manifest", ()),
        ("check", ()),
        ("data", ("dataset",)),
        ("backbone", ("backbone",)),
        ("split", ("dataset", "setting", "seed")),
        ("features", ("dataset", "backbone")),
    ):
        project.succeeded(project.stage(folder, name, **{key: names[key] for key in keys}))
    return folder


@pytest.fixture
def tiny(prepared, tmp_path) -> Path:
    """A copy of the prepared project that a test may break."""
    return shutil.copytree(prepared, tmp_path / "project")


@pytest.fixture
def params() -> dict:
    """Parameters that a test may change."""
    return copy.deepcopy(project.PARAMS)
