"""`ulfine export`: what others load without this project is the run."""

import contextlib
import re
import shutil
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
import yaml
from PIL import Image

from tests.helpers import project
from tests.helpers.project import CELL, run, succeeded
from ulfine.arrays import read_tensors
from ulfine.data.store import open_store
from ulfine.files import read_json
from ulfine.runner.export import export

RUN = "artifacts/runs/shapes/tail/{}/seed0"
LORA = project.PARAMS["methods"]["ulfine"] | {"adapter": {"kind": "lora", "rank": 2}}
FOR_OPEN_CLIP = {
    "README.md",
    "classifier.safetensors",
    "model.json",
    "open_clip_config.json",
    "open_clip_model.safetensors",
}


@pytest.fixture(scope="module")
def here(trained, tmp_path_factory) -> Path:
    """The trained project, with runs of two methods that change the weights of the tower itself."""
    folder = shutil.copytree(trained, tmp_path_factory.mktemp("export") / "project")
    grid = project.PARAMS["grid"] | {"method": ["fft", "lora"]}
    methods = project.PARAMS["methods"] | {"lora": LORA}
    project.write_params(folder, project.PARAMS | {"grid": grid, "methods": methods})
    for method in ("fft", "lora"):
        succeeded(project.stage(folder, "train", **CELL, method=method))
        succeeded(project.stage(folder, "evaluate", **CELL, method=method))
    return folder


@pytest.fixture
def exported(here, tmp_path, monkeypatch):
    """Export a run, with a graph or without one."""
    monkeypatch.chdir(here)

    def of(method: str, onnx: bool) -> Path:
        export(Path(RUN.format(method)), tmp_path / "exported", onnx)
        return tmp_path / "exported"

    return of


def logits_of(here: Path, method: str) -> dict[str, np.ndarray]:
    """(N, K) logits of the run on its test pictures, by classifier."""
    logits = read_tensors(here / RUN.format(method) / "logits.safetensors")
    parts = {tuple(name.split(".", 1)): each for name, each in logits.items()}
    return {name: each for (part, name), each in parts.items() if part == "test" and name != "labels"}


def run_code(folder: Path, number: int, picture: Path) -> dict:
    """What the names of a block of the card's code stand for, after it ran in the folder."""
    code = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)[number]
    names: dict = {}
    with contextlib.chdir(folder):
        exec(code.replace('"PICTURE"', repr(str(picture))), names)  # noqa: S102 (our own card)
    return names


@pytest.fixture
def picture(here, tmp_path) -> Path:
    """The first test picture as the data stage made it."""
    images = open_store(here / "artifacts/data/shapes").images["test"]
    Image.fromarray(np.asarray(images[0])).save(tmp_path / "picture.png")
    return tmp_path / "picture.png"


@pytest.mark.parametrize("method", ["zero_shot", "lp", "fft", "lora"])
def test_open_clip_loads_the_towers_and_the_cards_code_gives_the_logits_of_the_run(here, exported, picture, method):
    folder = exported(f"tiny/{method}", onnx=False)
    assert {path.name for path in folder.iterdir()} == FOR_OPEN_CLIP
    found = run_code(folder, 0, picture)["logits"]
    expected = logits_of(here, f"tiny/{method}")
    assert set(found) == set(expected)
    for name, values in found.items():
        # open_clip rounds enlarged pictures to bytes
        assert values[0].tolist() == pytest.approx(expected[name][0].tolist(), abs=0.05), name


@pytest.mark.parametrize("method", ["tiny/zero_shot", "tiny/ulfine", "tiny/lora", "none/scratch"])
def test_the_graph_gives_the_logits_of_the_run(here, exported, picture, method):
    folder, expected = exported(method, onnx=True), logits_of(here, method)
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    assert {output.name for output in session.get_outputs()} == {f"{name}_logits" for name in expected}
    images = np.asarray(open_store(here / "artifacts/data/shapes").images["test"])
    for name, values in expected.items():
        (found,) = session.run([f"{name}_logits"], {"pictures": images})
        assert np.abs(found - values).max() < 1e-3, name
    decides = read_json(folder / "model.json")["decides"]
    said = run_code(folder, -1, picture)["logits"]
    assert said[0].tolist() == pytest.approx(expected[decides][0].tolist(), abs=1e-3)


def test_a_graph_names_no_folder_of_the_machine(exported):
    graph = (exported("none/scratch", onnx=True) / "model.onnx").read_bytes()
    assert str(project.ROOT).encode() not in graph and b"site-packages" not in graph


@pytest.mark.parametrize(
    ("method", "weights"), [("tiny/ulfine", "tuned.safetensors"), ("none/scratch", "network.safetensors")]
)
def test_what_open_clip_has_no_place_for_is_there_by_name(here, exported, method, weights):
    folder = exported(method, onnx=False)
    run, found = read_tensors(here / RUN.format(method) / "weights.safetensors"), read_tensors(folder / weights)
    assert found and set(found) < set(run)
    assert "open_clip has no architecture" in (folder / "README.md").read_text()


def test_averaged_weights_are_those_that_are_exported(here, exported):
    run = read_tensors(here / RUN.format("none/scratch") / "weights.safetensors")
    found = read_tensors(exported("none/scratch", onnx=False) / "network.safetensors")
    assert np.array_equal(found["linear.weight"], run["average.linear.weight"])
    assert not np.array_equal(found["linear.weight"], run["linear.weight"])


def test_the_card_has_the_scores_the_classes_and_the_licence(here, exported):
    text = (exported("tiny/lp", onnx=False) / "README.md").read_text()
    scores = read_json(here / "results/cells/shapes/tail/tiny/lp/seed0/metrics.json")
    keys = ("accuracy", "acc_head", "acc_medium", "acc_tail")
    assert f"| {' | '.join(f'{100 * scores[key]:.1f}' for key in keys)} |" in text
    assert "| red circle | 2 | a photo of a red circle |" in text and "Pictures: none." in text
    assert yaml.safe_load(text.split("---\n")[1])["library_name"] == "open_clip"


def test_the_command_refuses_a_folder_that_is_there_and_changes_nothing(here):
    done = run(here, "ulfine", "export", RUN.format("tiny/lp"), "pictures", "--onnx")
    assert done.returncode == 1 and done.stderr == "pictures: is there already (allowed: a folder that is not)\n"
    assert sorted(path.name for path in (here / "pictures").iterdir()) == ["test", "train"]


def test_a_graph_needs_its_exporter(exported, monkeypatch, tmp_path):
    monkeypatch.setattr("ulfine.runner.export.find_spec", lambda _: None)
    with pytest.raises(ValueError, match=r"^--onnx: needs a package that is not here: pip install onnxscript$"):
        exported("tiny/lp", onnx=True)
    assert list(tmp_path.iterdir()) == []


def test_towers_that_open_clip_would_run_otherwise_are_not_exported(exported, monkeypatch, tmp_path):
    monkeypatch.setattr("ulfine.runner.export._changed", lambda _: {"visual.proj": torch.zeros(32, 16)})
    with pytest.raises(ValueError, match=r"tiny/fft/seed0: features of open_clip's tower differ by"):
        exported("tiny/fft", onnx=False)
    assert list(tmp_path.iterdir()) == []
