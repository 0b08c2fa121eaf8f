"""The check of params.yaml against the pictures of its sources."""

import subprocess
import sys

import pytest

from tests import project
from ulfine import check as module
from ulfine.check import checked

STL10 = {"kind": "torchvision", "name": "STL10", "path": "nowhere", "licence": "none"}
COPIES = {"include_labeled_in_unlabeled": True}
EXPONENTIAL = project.PARAMS["datasets"]["shapes"]["settings"]["tail"]
UNKNOWN = {"shape": "unknown", "n1": 6, "gamma_labeled": 3, "validation": 3, "shuffle_ranks": True} | COPIES
NATURAL = {"shape": "natural", "labeled_share": 0.1, "validation_share": 0.1} | COPIES


@pytest.fixture
def check(params, tmp_path):
    """Check one setting on a source: folders of 22 pictures for each of 4 classes, or what is named."""
    project.write_pictures(tmp_path / "pictures")

    def run(setting: dict, source: dict | None = None) -> None:
        dataset = params["datasets"]["shapes"]
        dataset["source"] = source or dataset["source"] | {"path": str(tmp_path / "pictures")}
        dataset["settings"]["tail"] = setting
        project.write_params(tmp_path, params)
        checked(tmp_path / "params.yaml")

    return run


@pytest.mark.parametrize(
    ("setting", "source"),
    [(EXPONENTIAL, None), (NATURAL, None), (EXPONENTIAL, STL10), (UNKNOWN, STL10), (NATURAL, STL10)],
)
def test_what_the_pictures_serve_passes(check, setting, source):
    check(setting, source)


@pytest.mark.parametrize(
    ("setting", "source", "message"),
    [
        (UNKNOWN, None, "shape unknown needs training pictures without a label, and this source has none"),
        (EXPONENTIAL | {"m1": 14}, None, "asks for 6 labeled + 14 unlabeled + 3 validation = 23 pictures of class '"),
        (UNKNOWN | {"n1": 498}, STL10, "asks for 498 labeled + 3 validation = 501 pictures of class "),
        (NATURAL | {"labeled_share": 0.89}, None, "asks for 20 labeled + 2 validation of the 22 pictures of class 'b"),
    ],
)
def test_what_they_cannot_serve_is_refused_in_one_line(check, setting, source, message):
    with pytest.raises(ValueError) as caught:
        check(setting, source)
    assert f"params.yaml: datasets.shapes.settings.tail: {message}" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_only_the_data_stage_can_count_is_left_to_the_split(check, monkeypatch):
    monkeypatch.setattr(module, "class_counts", lambda _: None)
    check(EXPONENTIAL | {"m1": 14})


def test_the_check_imports_nothing_slow():
    slow = "{'torch', 'torchvision', 'scipy'} & sys.modules.keys()"
    command = [sys.executable, "-c", f"import sys, ulfine.check; sys.exit(bool({slow}))"]
    assert subprocess.run(command, check=False).returncode == 0
