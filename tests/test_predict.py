"""`ulfine predict`: new pictures as the run classified its test pictures."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tests.helpers import project, rivals
from tests.helpers.project import run, succeeded
from ulfine.arrays import read_tensors
from ulfine.files import read_json
from ulfine.runner.export import export
from ulfine.runner.predictions import as_csv, predictions
from ulfine.runner.trained import Trained, load_run, pictures

RUN = "artifacts/runs/shapes/tail/{}/seed0"
METHODS = ("tiny/zero_shot", "tiny/lp", "tiny/ulfine", "none/scratch")


@pytest.mark.parametrize("method", METHODS)
def test_test_pictures_get_the_very_logits_of_the_run(trained, monkeypatch, method):
    monkeypatch.chdir(trained)
    folder = Path(RUN.format(method))
    found = load_run(folder, "cpu").logits(pictures([Path("pictures/test")]))
    logits = read_tensors(folder / "logits.safetensors")
    assert {f"test.{name}" for name in found} == {name for name in logits if name.startswith("test.")} - {"test.labels"}
    assert [name for name, values in found.items() if not np.array_equal(values, logits[f"test.{name}"])] == []


RIVALS = {
    "tip": {"tune": "none", "rival": {"kind": "tip_adapter", "alpha": 1, "beta": 5.5}},
    "corrected": {"tune": "none", "rival": {"kind": "prior_corrected", "tau": 1}},
    "daso": rivals.method("daso"),
    "acr": rivals.method("acr") | {"tune": "adapters", "adapter": {"kind": "adaptformer", "width": "auto"}},
}


def test_rivals_predict_and_are_scored_as_they_were_trained_but_are_not_exported(trained, tmp_path, monkeypatch):
    folder = shutil.copytree(trained, tmp_path / "project")
    monkeypatch.chdir(folder)
    grid = project.PARAMS["grid"] | {"method": list(RIVALS)}
    project.write_params(folder, project.PARAMS | {"grid": grid, "methods": project.PARAMS["methods"] | RIVALS})
    for method, decides in (("tip", "text"), ("corrected", "text"), ("daso", "linear"), ("acr", "balanced")):
        succeeded(project.stage(folder, "train", **project.CELL, method=method))
        run = Path(RUN.format(f"tiny/{method}"))
        found, logits = load_run(run, "cpu"), read_tensors(run / "logits.safetensors")
        assert found.decides == decides
        assert np.array_equal(found.logits(pictures([Path("pictures/test")]))[decides], logits[f"test.{decides}"])
        succeeded(project.stage(folder, "evaluate", **project.CELL, method=method))
        weights = run / "weights.safetensors"
        assert "rival.queue" not in read_tensors(weights)
        scores = read_json(folder / f"results/cells/shapes/tail/tiny/{method}/seed0/metrics.json")
        assert scores["accuracy"] == np.mean(scores["recall"])
        with pytest.raises(ValueError, match="seed0: runs of rivals are not exported"):
            export(run, tmp_path / "exported", onnx=False)
    zero_shot = read_tensors(Path(RUN.format("tiny/zero_shot")) / "logits.safetensors")["test.text"]
    assert not np.array_equal(zero_shot, read_tensors(Path(RUN.format("tiny/tip")) / "logits.safetensors")["test.text"])


def test_a_row_has_the_first_classes_and_what_each_classifier_says(tmp_path):
    def classify(batches):
        assert [batch.shape for batch in batches] == [(1, 16, 16, 3)]
        return {"linear": np.log([[0.7, 0.2, 0.1]]), "fused": np.log([[0.1, 0.3, 0.6]])}

    Image.new("RGB", (20, 30)).save(tmp_path / "x.png")
    found = list(predictions(Trained(["a", "b", "c"], 16, "shortest", "fused", classify), [f"{tmp_path}/x.png"], 2))
    assert found[0]["top"] == [{"class": "c", "confidence": 0.6}, {"class": "b", "confidence": 0.3}]
    assert found[0]["classifiers"]["linear"] == {"class": "a", "confidence": 0.7}
    assert as_csv(found).splitlines() == [
        "picture,class_1,confidence_1,class_2,confidence_2,linear,linear_confidence,fused,fused_confidence",
        f"{tmp_path}/x.png,c,0.6,b,0.3,a,0.7,c,0.6",
    ]


def test_files_and_folders_are_taken_in_their_order(tmp_path):
    for name in ("b/2.png", "b/1.png", "a/3.jpg", "b/notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = pictures([tmp_path / "b", tmp_path / "a/3.jpg"])
    assert [Path(path).relative_to(tmp_path).as_posix() for path in found] == ["b/1.png", "b/2.png", "a/3.jpg"]


def test_the_command_writes_a_table_or_json(trained, tmp_path):
    asked = (RUN.format("tiny/ulfine"), "pictures/test/blue_dot", "--top", "2")
    table = succeeded(run(trained, "ulfine", "predict", *asked)).stdout
    (tmp_path / "found.csv").write_text(table)
    rows = pd.read_csv(tmp_path / "found.csv")
    assert len(rows) == 6 and rows["picture"][0] == "pictures/test/blue_dot/00.png"
    assert (rows["class_1"] == rows["fused"]).all() and (rows["confidence_1"] >= rows["confidence_2"]).all()
    succeeded(run(trained, "ulfine", "predict", *asked, "--out", f"{tmp_path}/found.json"))
    found = json.loads((tmp_path / "found.json").read_text())
    assert [each["top"][0]["class"] for each in found] == rows["class_1"].tolist()
    assert set(found[0]["classifiers"]) == {"linear", "text", "fused", "initial"}


@pytest.fixture
def here(trained, tmp_path, monkeypatch) -> Path:
    """A copy of the trained project, as the current folder."""
    folder = shutil.copytree(trained, tmp_path / "project")
    monkeypatch.chdir(folder)
    return folder


def test_a_picture_that_cannot_be_read_ends_it_in_one_line_and_nothing_is_written(here):
    (here / "bad.png").write_bytes(b"no picture")
    done = run(here, "ulfine", "predict", RUN.format("tiny/lp"), "pictures/test", "bad.png", "--out", "found.csv")
    assert done.returncode == 1 and done.stdout == "" and not (here / "found.csv").exists()
    assert done.stderr.startswith("bad.png: not a readable picture (none of JPEG, ") and done.stderr.count("\n") == 1


def change_run(folder: Path) -> None:
    with (folder / RUN.format("tiny/lp") / "history.csv").open("a") as history:
        history.write("\n")


def change_text(folder: Path) -> None:
    meta = folder / "artifacts/features/shapes/tail/tiny/seed0/meta.json"
    meta.write_text(meta.read_text().replace('"text.safetensors": "', '"text.safetensors": "0'))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (change_run, "nothing says by which parameters this run was trained"),
        (change_text, "was trained on other pictures, towers, text or counts than those that are here"),
    ],
)
def test_a_run_that_does_not_fit_what_is_here_is_refused(here, change, message):
    change(here)
    with pytest.raises(ValueError, match=message):
        load_run(Path(RUN.format("tiny/lp")), "cpu")


@pytest.mark.parametrize("folder", ["artifacts/runs/shapes", "results", RUN.format("tiny/lft")])
def test_what_is_no_run_is_refused(trained, monkeypatch, folder):
    monkeypatch.chdir(trained)
    with pytest.raises(ValueError, match=f"^{folder}: not a run .allowed: a folder artifacts/runs/DATASET/"):
        load_run(Path(folder), "cpu")


def test_a_name_for_another_kind_of_file_is_refused(trained):
    done = run(trained, "ulfine", "predict", RUN.format("tiny/lp"), "pictures/test", "--out", "found.txt")
    assert done.stderr == "--out found.txt: allowed are names that end in .csv or .json\n"
