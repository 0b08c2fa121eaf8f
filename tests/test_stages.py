"""Stages as users and engines run them: scripts, on files."""

import copy
import json
import math
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from tests.helpers import project
from tests.helpers.forked import stage
from tests.helpers.pictures import SIMPLE
from tests.helpers.project import BASELINE, CELL, ROOT, SCRATCH, scripted, succeeded
from tests.helpers.reruns import commit, content, edit
from tests.helpers.serving import serving
from ulfine.arrays import read_tensors
from ulfine.evaluation.cell import FUSED
from ulfine.evaluation.metrics import softmax
from ulfine.files import folder_sha256, sha256
from ulfine.models.backbone import load_text_tower
from ulfine.params.base import read_yaml
from ulfine.runner.code import code_hashes

FEATURES, DATA, SPLIT = (
    "artifacts/features/shapes/tail/tiny/seed0",
    "artifacts/data/shapes",
    "artifacts/splits/shapes/tail/seed0.json",
)
LP = CELL | {"method": "lp"}
FROZEN = CELL | {"method": "frozen"}
RUN = "artifacts/runs/shapes/tail/tiny/{}/seed0"
SCRATCH_RUN = "artifacts/runs/shapes/tail/none/scratch/seed0"
METRICS = "results/cells/shapes/tail/tiny/{}/seed0/metrics.json"
SWEEP = "results/cells/shapes/tail/tiny/{}/seed0/sweep.csv"
SQUARE = SIMPLE["strong"]["cutout"]


AROUND = {  # what the runner imports
    *("ulfine/git.py", "ulfine/locks.py", "ulfine/params/base.py", "ulfine/params/names.py", "ulfine/progress.py"),
    "ulfine/training/record.py",
}
TEMPLATES = {"report": {"ulfine/evaluation/report.html.jinja"}}


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    """The line on standard error of a stage that failed as it should."""
    assert done.returncode == 1, done.stdout + done.stderr
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert len(lines) == 1, done.stderr
    return lines[0]


def files(folder: Path) -> set[str]:
    """What stages made, apart from what they say about it."""
    found = (path.relative_to(folder) for top in ("artifacts", "results") for path in (folder / top).rglob("*"))
    return {str(path) for path in found if path.parts[1] not in project.ABOUT}


def noted(folder: Path, method: str) -> Path:
    """The only record of a training of a method."""
    (found,) = (folder / f"artifacts/records/shapes/tail/tiny/{method}/seed0").iterdir()
    return found


@pytest.fixture
def refused(tiny, ended, monkeypatch) -> Callable[..., str]:
    """Run a stage of the project in this process, where it must fail in one line and leave no file more or less."""
    monkeypatch.chdir(tiny)

    def run(name: str, **names: str | int) -> str:
        before = files(tiny)
        line = ended(name, **names)
        assert files(tiny) == before
        return line

    return run


def test_the_store_holds_every_picture(prepared):
    meta = json.loads((prepared / "artifacts/data/shapes/meta.json").read_text())
    assert meta["classes"] == ["blue dot", "green bar", "grey cross", "red circle"]
    assert meta["counts"] == {"train": [22] * 4, "test": [6] * 4}
    assert np.load(prepared / "artifacts/data/shapes/train_images.npy").shape == (88, 16, 16, 3)


def test_the_split_is_disjoint_counted_and_hashed(prepared):
    split = json.loads((prepared / SPLIT).read_text())
    sets = split["indices"]
    assert {name: len(indices) for name, indices in sets.items()} == {"labeled": 14, "unlabeled": 28, "validation": 12}
    assert len(set().union(*map(set, sets.values()))) == 14 + 28 + 12
    labels = np.load(prepared / "artifacts/data/shapes/train_labels.npy")
    for name, counts in split["counts"].items():
        assert np.bincount(labels[sets[name]], minlength=4).tolist() == counts
    assert [split["counts"]["labeled"][k] for k in split["class_order"]] == [6, 4, 2, 2]
    assert len(split["sha256"]) == 64


def test_features_are_of_the_views_that_a_split_can_use_and_of_no_other(prepared):
    folder = prepared / FEATURES
    shapes = {path.name: np.load(path).shape for path in folder.glob("*.npy")}
    for space, width in (("pooled", 32), ("joint", 16)):
        assert shapes[f"plain.{space}.npy"] == (54, width) and shapes[f"test.{space}.npy"] == (24, width)
    assert shapes["weak.pooled.npy"] == (1, 42, 32) and shapes["strong.pooled.npy"] == (2, 28, 32)
    assert "weak.joint.npy" not in shapes and "strong.joint.npy" not in shapes
    sets = {name: set(part) for name, part in json.loads((prepared / SPLIT).read_text())["indices"].items()}
    seen = {view: np.load(folder / f"{view}.indices.npy").tolist() for view in ("plain", "weak", "strong")}
    assert seen["plain"] == sorted(set.union(*sets.values()))
    assert seen["weak"] == sorted(sets["labeled"] | sets["unlabeled"]) and seen["strong"] == sorted(sets["unlabeled"])
    assert all(np.isfinite(np.load(path)).all() for path in folder.glob("*.npy"))
    text = read_tensors(folder / "text.safetensors")
    assert text["pooled.prototypes"].shape == (4, 32) and text["joint.prototypes"].shape == (4, 16)
    assert np.linalg.norm(text["pooled.prototypes"], axis=1) == pytest.approx(1, abs=1e-5)


def test_a_trained_cell_leaves_what_the_design_names(trained):
    folder = trained / RUN.format("ulfine")
    tables, tensors = {"history.csv", "pseudo_labels.csv", "classifiers.csv"}, {"logits", "weights", "cosines"}
    names = tables | {"run.json"} | {f"{name}.safetensors" for name in tensors}
    assert {path.name for path in folder.iterdir()} == names
    logits = read_tensors(folder / "logits.safetensors")
    expected = {f"{part}.{name}" for part in ("test", "validation") for name in ("linear", "text", "fused", "labels")}
    expected |= {"test.initial", "unlabeled.pseudo", "unlabeled.labels"}
    pool = {f"unlabeled.{name}.{what}" for name in FUSED for what in ("label", "confidence")}
    assert set(logits) == expected | pool
    fused = logits["unlabeled.pseudo"]
    assert (logits["unlabeled.fused.label"] == fused.argmax(1)).all()
    assert logits["unlabeled.fused.confidence"] == pytest.approx(softmax(fused).max(1), abs=1e-6)
    assert logits["test.fused"].shape == (24, 4) and logits["unlabeled.pseudo"].shape == (28, 4)
    assert pd.read_csv(folder / "history.csv")["step"].tolist() == [2, 4]
    assert pd.read_csv(folder / "pseudo_labels.csv")["seen"].sum() == 4 * 8
    assert not list((trained / "artifacts/checkpoints").glob("*"))
    classifiers = pd.read_csv(folder / "classifiers.csv")
    assert len(classifiers) == 2 * 2 * 4 and set(classifiers["classifier"]) == {"linear", "text"}
    found = read_tensors(folder / "cosines.safetensors")
    assert {name: cosines.shape for name, cosines in found.items()} == {"linear": (4, 4), "text": (4, 4)}


def test_a_baseline_predicts_with_its_average_and_keeps_its_validation_curve(trained):
    curve = pd.read_csv(trained / SCRATCH_RUN / "validation.csv")
    assert curve["step"].tolist() == [2] * 4 + [4] * 4 and curve["pictures"].tolist() == [3] * 8
    found = json.loads((trained / METRICS.replace("tiny/{}", "none/scratch").format()).read_text())
    assert [point["step"] for point in found["validation_curve"]] == [2, 4]
    last = curve[curve["step"] == 4]
    assert found["validation_curve"][1]["accuracy"] == pytest.approx((last["right"] / 3).mean())
    assert found["validation_curve"][1]["accuracy"] == pytest.approx(found["validation"]["accuracy"])
    weights = read_tensors(trained / SCRATCH_RUN / "weights.safetensors")
    assert not np.array_equal(weights["linear.weight"], weights["average.linear.weight"])
    assert not found["stand_in"]


def test_zero_shot_is_the_cosine_of_the_joint_space(trained):
    features = np.load(trained / FEATURES / "test.joint.npy")
    text = read_tensors(trained / FEATURES / "text.safetensors")
    found = read_tensors(trained / RUN.format("zero_shot") / "logits.safetensors")["test.text"]
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    assert found == pytest.approx(text["logit_scale"] * unit @ text["joint.prototypes"].T, abs=1e-4)


def test_the_record_holds_what_differs_from_run_to_run(trained):
    record = json.loads((trained / METRICS.format("lp")).with_name("record.json").read_text())
    assert record == json.loads(noted(trained, "lp").read_text())
    assert record["images_seen"] == 4 * (4 + 8 + 8)
    assert record["seconds"] > 0 and record["peak_memory_mb"] > 50 and record["num_threads"] == 1
    assert record["versions"]["torch"] and record["driver"] is None
    assert record["cell"] == CELL | {"method": "lp"}
    assert record["parameters"]["method"] == {"tune": "head"} and record["wall_seconds"] > record["seconds"]
    run = json.loads((trained / RUN.format("lp") / "run.json").read_text())
    assert record["params_digest"] == run["params_digest"]


def test_all_seeds_of_a_cell_have_the_digest_of_its_parameters_and_another_prompt_has_another(
    trained, params, tmp_path
):
    folder = shutil.copytree(trained, tmp_path / "project")
    params["grid"]["seed"] = [0, 1]
    found = [json.loads((folder / RUN.format("zero_shot") / "run.json").read_text())["params_digest"]]
    for prompt, seed in (("a photo of a {}", 1), ("a {}", 1)):
        params["datasets"]["shapes"]["prompt"] = prompt
        project.write_params(folder, params)
        names = CELL | {"seed": seed}
        succeeded(stage(folder, "split", dataset="shapes", split="tail", seed=seed))
        succeeded(stage(folder, "features", **names))
        succeeded(stage(folder, "train", **names, method="zero_shot"))
        run = folder / RUN.format("zero_shot").replace("seed0", f"seed{seed}")
        found.append(json.loads((run / "run.json").read_text())["params_digest"])
    assert found[0] == found[1] != found[2]


def test_a_record_is_of_the_very_bytes_of_its_run(trained, tmp_path):
    """As committed, else as the training here noted it, else unknown: never of another run."""
    folder = shutil.copytree(trained, tmp_path / "project")
    found, kept = noted(folder, "lp"), (folder / METRICS.format("lp")).with_name("record.json")

    def evaluated() -> dict:
        succeeded(stage(folder, "evaluate", **LP))
        return json.loads(kept.read_text())

    first = json.loads(found.read_text())
    commit(folder)
    found.write_text(json.dumps(first | {"seconds": 7}))  # the same training once more
    kept.unlink()
    assert evaluated() == first
    with (folder / RUN.format("lp") / "history.csv").open("a") as history:
        history.write("\n")
    assert evaluated() == {
        "cell": LP,
        "run": folder_sha256(folder / RUN.format("lp")),
        "seconds": None,
        "images_seen": None,
        "flops": None,
        "energy_joules": None,
        "peak_memory_mb": None,
        "device": None,
    }
    again = first | {"run": folder_sha256(folder / RUN.format("lp"))}
    found.with_name(f"{again['run']}.json").write_text(json.dumps(again))
    assert evaluated() == again


def test_tables_and_page_of_a_cell_whose_cost_is_unknown(trained, tmp_path):
    folder = shutil.copytree(trained, tmp_path / "project")
    noted(folder, "ulfine").unlink()
    succeeded(stage(folder, "evaluate", **CELL, method="ulfine"))
    succeeded(stage(folder, "aggregate"))
    succeeded(stage(folder, "report"))
    costs = pd.read_csv(folder / "results/tiny/cost.csv").set_index("method")
    assert costs.loc["ulfine", ["train_seconds", "flops", "device"]].isna().all()
    assert costs.loc["scratch", "train_seconds"] > 0


def test_a_page_whose_runs_did_not_come_along_is_refused(trained, tmp_path):
    folder = shutil.copytree(trained, tmp_path / "project")
    shutil.rmtree(folder / RUN.format("ulfine"))
    line = one_line(stage(folder, "report"))
    assert line.startswith(f"report: {RUN.format('ulfine')}: not here, but figures need it; `dvc pull`")


def test_metrics_have_the_names_of_runs_csv(trained):
    found = {
        method: json.loads((trained / METRICS.format(method)).read_text()) for method in ("zero_shot", "lp", "ulfine")
    }
    assert found["ulfine"]["accuracy"] == found["ulfine"]["acc_fused"]
    assert found["lp"]["accuracy"] == found["lp"]["acc_linear"]
    assert found["lp"]["acc_text"] is None and found["zero_shot"]["pl_accuracy"] is None
    assert len(found["ulfine"]["text_share"]) == 4
    assert found["lp"]["trainable_params"] == 4 * 32 and found["zero_shot"]["trainable_params"] == 0


def test_the_same_inputs_give_the_same_bytes(trained, tiny):
    """What is made of them as well, and by other methods: tests/test_engines.py."""
    succeeded(stage(tiny, "train", **CELL, method="ulfine"))
    assert content(tiny / RUN.format("ulfine")) == content(trained / RUN.format("ulfine"))


@pytest.mark.parametrize(
    "name",
    ["data", "backbone", "split", "features", "train", "baseline", "evaluate", "sweep", "aggregate", "report"],
)
def test_the_code_that_a_stage_depends_on_is_the_science_that_it_imports(trained, name, monkeypatch):
    """Found from the text of the modules, and here compared with what a process has loaded."""
    monkeypatch.chdir(ROOT)
    traces = sorted(trained.glob(f"trace-{name}*.json"))
    loaded = {file for trace in traces for file in json.loads(trace.read_text())["files"]}
    loaded = {file for file in loaded if not file.startswith("ulfine/runner/")}
    packages = {file for file in loaded if file.endswith("__init__.py")}
    found = set(code_hashes()[Path(f"artifacts/code/{name}.json")])
    assert found - loaded == {f"stages/{name}.py"} | TEMPLATES.get(name, set())
    assert loaded - packages - found <= AROUND
    for package in packages:  # they may be left out because they hold nothing
        assert (ROOT / package).read_text().count('"""') == 2


@pytest.mark.parametrize(
    "name", ["data", "backbone", "split", "features", "train-lp", "baseline", "sweep", "aggregate"]
)
def test_a_stage_reads_no_parameters_but_its_own(trained, name):
    stage_, own = name.split("-")[0], json.loads((trained / f"trace-{name}.json").read_text())["parameters"]
    assert "artifacts/config/runtime.json" in own  # the number of threads
    assert any(path.startswith(f"artifacts/config/{stage_}") for path in own)
    assert len(own) == (3 if "params.yaml" in own else 2)  # whose grid says which cells there are


def test_every_stage_depends_on_the_code_of_its_script_and_on_no_file_beside():
    for name, declared in read_yaml(ROOT / "dvc.yaml")["stages"].items():
        if name != "resolve":
            script = re.search(r"-m stages\.(\w+)", declared["cmd"])[1]
            code = [dep for dep in declared["deps"] if dep.endswith(".py") or "artifacts/code" in dep]
            assert code == [f"artifacts/code/{script}.json"] and (ROOT / f"stages/{script}.py").exists()


def test_science_does_not_import_the_runner():
    for path in (ROOT / "ulfine").rglob("*.py"):
        inside = path.relative_to(ROOT / "ulfine")
        if inside.parts[0] not in ("runner", "__main__.py"):
            assert "ulfine.runner" not in path.read_text(), inside


def test_hashes_of_code_are_rewritten_when_what_it_does_changes(tiny):
    split, evaluate = (tiny / f"artifacts/code/{name}.json" for name in ("split", "evaluate"))
    before = [path.stat().st_mtime_ns for path in (split, evaluate)]
    edit(tiny / "ulfine/data/splits.py")
    (tiny / "ulfine/arrays.py").touch()
    succeeded(stage(tiny, "resolve"))
    after = [path.stat().st_mtime_ns for path in (split, evaluate)]
    assert after[0] > before[0] and after[1] == before[1]


def test_a_module_that_is_not_valid_python_is_named(tiny):
    kept = content(tiny / "artifacts/code")
    (tiny / "ulfine/methods/paf.py").write_text("def f(:\n")
    line = one_line(project.run(tiny, "ulfine", "status"))
    assert line == "ulfine/methods/paf.py: line 1 is not valid Python (invalid syntax)"
    assert content(tiny / "artifacts/code") == kept


def test_code_that_was_edited_after_it_was_hashed_is_in_the_hashes_when_a_stage_ends(tiny):
    """Or an engine would record results of the edited code under the hashes of the old."""
    hashes = tiny / "artifacts/code/split.json"
    before = hashes.read_text()
    edit(tiny / "ulfine/data/splits.py")
    succeeded(stage(tiny, "split", dataset="shapes", split="tail", seed=0))
    found = hashes.read_text()
    succeeded(stage(tiny, "resolve"))
    assert before != found == hashes.read_text()


def test_linear_probing_has_no_image_tower_in_memory(trained):
    used = json.loads((trained / "trace-train-lp.json").read_text())["files"]
    assert "ulfine/training/loop.py" in used
    assert "ulfine/models/tower.py" not in used and "ulfine/models/backbone.py" not in used


@pytest.mark.parametrize(
    "name", ["data", "backbone", "split", "features", "train-lp", "train-ulfine", "baseline", "evaluate"]
)
def test_the_number_of_threads_is_set_before_numpy_starts(trained, name):
    assert json.loads((trained / f"trace-{name}.json").read_text())["threads"] == "1"


def test_no_stage_opens_a_connection(trained):
    assert list(trained.glob("trace-*.json")) and not (trained / "connections.txt").exists()


def test_a_connection_is_noted_and_a_local_socket_is_not(tmp_path):
    """So the test above would see one."""
    (tmp_path / "stages").mkdir()
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
        (tmp_path / "stages/dial.py").write_text(
            "import socket\n"
            "socket.socket(socket.AF_UNIX).connect_ex('nobody')\n"
            f"socket.socket().connect({address})\n"
            f"socket.socket(type=socket.SOCK_DGRAM).sendto(b'', {address})\n"
            "socket.getaddrinfo('127.0.0.1', 80)\n"
        )
        succeeded(scripted(tmp_path, "dial"))
    assert (tmp_path / "connections.txt").read_text().splitlines() == [
        f"stages.dial socket.connect {address}",
        f"stages.dial socket.sendto {address}",
        "stages.dial socket.getaddrinfo 127.0.0.1 80 0 0 0",
    ]


class Empty(BaseHTTPRequestHandler):
    """Has no file of any name."""

    def do_GET(self):
        self.send_error(404)

    def do_HEAD(self):
        self.send_error(404)

    def log_message(self, *_):
        pass


PUBLISHED = {"kind": "torchvision", "name": "FashionMNIST", "path": "downloads", "licence": "MIT"}
FROM_THE_HUB = {"model": "ViT-B-16", "pretrained": "datacomp_xl_s13b_b90k"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("key", "name", "changes"),
    [("dataset", "data", {"source": PUBLISHED}), ("backbone", "backbone", FROM_THE_HUB)],
)
def test_a_stage_that_is_told_to_download_is_seen_to_connect(tiny, params, monkeypatch, key, name, changes):
    params[f"{key}s"][CELL[key]] |= changes
    project.write_params(tiny, params)
    with serving(HTTPServer(("127.0.0.1", 0), Empty)) as server:
        for variable in ("http_proxy", "HF_ENDPOINT"):
            monkeypatch.setenv(variable, f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("HF_HOME", str(tiny / "hub"))
        line = one_line(project.stage(tiny, name, **{key: CELL[key]}))
    assert line.startswith(f"{name} {CELL[key]}: ")
    seen = (tiny / "connections.txt").read_text().splitlines()
    assert f"stages.{name} socket.connect ('127.0.0.1', {server.server_port})" in seen


def cut(path: str):
    def spoil(folder: Path) -> None:
        whole = (folder / path).read_bytes()
        (folder / path).write_bytes(whole[: len(whole) // 2])

    return spoil


def gone(path: str):
    return lambda folder: (folder / path).unlink()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (gone(SPLIT), f"{SPLIT}: No such file or directory"),
        (cut(f"{FEATURES}/weak.pooled.npy"), f"{FEATURES}/weak.pooled.npy: truncated, or not a .npy file"),
        (cut(f"{FEATURES}/text.safetensors"), f"{FEATURES}/text.safetensors: truncated"),
        (gone(f"{DATA}/train_images.npy"), f"{DATA}/train_images.npy: No such file or directory"),
    ],
)
def test_a_missing_or_truncated_input_is_named(tiny, refused, spoil, message):
    spoil(tiny)
    assert refused("train", **LP).startswith(f"train shapes tail tiny lp 0: {message}")


def test_a_cell_that_is_not_in_the_grid_has_no_configuration(tiny):
    names = CELL | {"method": "lft"}
    line = one_line(project.run(tiny, "python", "-m", "stages.train", *project.options(names)))
    missing = "artifacts/config/train/shapes/tail/tiny/lft/seed0.json: not here; `python -m stages.resolve` writes it"
    assert line.startswith(f"train shapes tail tiny lft 0: {missing}")


def test_a_gpu_that_is_not_there_is_named(tiny, refused, params):
    params["runtime"]["device"] = "cuda:7"
    project.write_params(tiny, params)
    assert "params.yaml: runtime.device = 'cuda:7' is not here (allowed: cpu" in refused("train", **LP)


def test_a_checkpoint_of_another_shape_is_refused(tiny, refused):
    config = json.loads(json.dumps(project.TINY_CLIP))
    config["vision_cfg"]["width"] = 48
    (tiny / "tiny.json").write_text(json.dumps(config))
    kept = content(tiny / "artifacts/backbones/tiny")
    line = refused("backbone", backbone="tiny")
    assert line.startswith("backbone tiny: tiny.pt: does not fit model tiny.json: size mismatch for")
    assert content(tiny / "artifacts/backbones/tiny") == kept  # the last good one is not lost


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"m1": 18},
            "datasets.shapes.splits.tail: asks for 6 labeled + 18 unlabeled + 3 validation = 27 pictures of",
        ),
        (
            {"gamma_labeled": 7},
            "datasets.shapes.splits.tail: n1 = 6 with gamma_labeled = 7 leaves the last class empty",
        ),
    ],
)
def test_a_split_that_the_data_cannot_serve_is_refused_before_any_work(tiny, refused, params, changes, message):
    params["datasets"]["shapes"]["splits"]["tail"] |= changes
    project.write_params(tiny, params)
    assert refused("resolve").startswith(f"resolve: params.yaml: {message}")


def change_split(folder: Path, params: dict, split: dict) -> None:
    """Let the project have another split."""
    params["datasets"]["shapes"]["splits"]["tail"] = split
    project.write_params(folder, params)
    succeeded(stage(folder, "split", dataset="shapes", split="tail", seed=0))


NONE_HELD_OUT = project.PARAMS["datasets"]["shapes"]["splits"]["tail"] | {"validation": 0}


def test_a_split_without_validation_pictures_goes_from_data_to_report(tiny, params):
    """What cannot be known is null in JSON and empty in CSV, and the rest is there."""
    params["grid"] |= {"sweep": []}
    change_split(tiny, params, NONE_HELD_OUT)
    succeeded(stage(tiny, "resolve"))
    succeeded(stage(tiny, "baseline", **SCRATCH))
    for names in (CELL | {"method": "zero_shot"}, LP):
        succeeded(stage(tiny, "train", **names))
    for names in (CELL | {"method": "zero_shot"}, LP, BASELINE):
        succeeded(stage(tiny, "evaluate", **names))
    succeeded(stage(tiny, "aggregate"))
    succeeded(stage(tiny, "report"))
    for method in ("zero_shot", "lp"):
        found = json.loads((tiny / METRICS.format(method)).read_text())
        assert found["validation"].pop("recall") == [None] * 4 and set(found["validation"].values()) == {None}
        assert 0 <= found["accuracy"] <= 1 and "validation_curve" not in found
    runs = pd.read_csv(tiny / "results/tiny/runs.csv")
    assert len(runs) == 3 and runs["accuracy"].notna().all()
    assert pd.read_csv(tiny / "results/tiny/cost.csv")["equal_accuracy"].isna().all()
    assert ">nan<" not in (tiny / "results/tiny/report.html").read_text()


def test_a_split_without_validation_pictures_is_refused_to_a_sweep(tiny, refused, params):
    """As `resolve` cannot where it does not know how many pictures there are."""
    change_split(tiny, params, NONE_HELD_OUT)
    said = "the split holds out no validation pictures, which a sweep needs; hold some out in its parameters"
    assert said in refused("sweep", **FROZEN)


def add_unlabeled(folder: Path, number: int) -> None:
    (folder / "pictures/unlabeled").mkdir()
    for picture in sorted((folder / "pictures/train/red_circle").iterdir())[:number]:
        shutil.copy(picture, folder / "pictures/unlabeled")


@pytest.mark.parametrize(
    "command",
    [
        ("python", "-m", "stages.resolve"),
        ("ulfine", "preflight"),
        ("snakemake", "--cores", "1", "--forcerun", "split", "--", "artifacts/splits/shapes/tail/seed0.json"),
    ],
)
def test_unused_pictures_are_told_of_once(tiny, command):
    add_unlabeled(tiny, 3)
    done = succeeded(project.run(tiny, *command))
    noted = "params.yaml: datasets.shapes.splits.tail: leaves 3 pictures without a label unused; shapes unknown and "
    assert (done.stdout + done.stderr).count(noted) == 1


def test_what_is_made_of_the_pictures_is_said(tiny, params):
    project.write_params(tiny, params)
    add_unlabeled(tiny, 3)
    made = succeeded(stage(tiny, "data", dataset="shapes")).stdout
    assert made.splitlines()[0] == "data shapes: 4 classes; 88 training, 24 test, 3 unlabeled pictures"
    drawn = succeeded(stage(tiny, "split", dataset="shapes", split="tail", seed=0)).stdout
    assert drawn.splitlines()[0] == (
        "split shapes tail 0: 14 labeled, 28 unlabeled, 12 validation pictures; 37 training pictures are in none of "
        "them"
    )
    all_labels = {"shape": "natural-unknown", "validation_share": 0.1, "include_labeled_in_unlabeled": False}
    change_split(tiny, params, all_labels)
    assert "unused" not in succeeded(stage(tiny, "resolve")).stdout
    drawn = succeeded(stage(tiny, "split", dataset="shapes", split="tail", seed=0)).stdout
    assert drawn.splitlines()[0] == "split shapes tail 0: 80 labeled, 3 unlabeled, 8 validation pictures"


def test_aggregate_takes_the_cells_of_the_grid_alone(trained):
    tables = trained / "results/tiny"
    runs = pd.read_csv(tables / "runs.csv")
    assert runs["method"].tolist() == ["zero_shot", "ulfine", "scratch"]
    assert runs["backbone"].tolist() == ["tiny", "tiny", "none"]
    assert runs["accuracy"][1] == json.loads((trained / METRICS.format("ulfine")).read_text())["accuracy"]
    costs = pd.read_csv(tables / "cost.csv")
    assert costs["trainable_params"].tolist() == runs["trainable_params"].tolist() and (costs["flops"][1:] > 0).all()
    assert costs["energy_joules"].isna().all() and costs["equal_accuracy"].isna().all()  # no GPU, one curve alone
    assert "| shapes | tail | tiny | ulfine | 1 |" in (tables / "summary.md").read_text()


def test_a_sweep_has_a_row_for_each_trial_as_if_trained_alone(trained, tmp_path):
    rows = pd.read_csv(trained / "results/tiny/sweep.csv")
    assert rows[["dlf.eta", "train.lr"]].to_numpy().tolist() == [[0, 0.01], [0, 0.1], [0.5, 0.01], [0.5, 0.1]]
    assert set(rows["method"]) == {"frozen"} and (rows["acc_fused"] == rows["accuracy"]).all()
    folder = shutil.copytree(trained, tmp_path / "project")
    method = {"tune": "head", "dlf": project.PARAMS["methods"]["frozen"]["dlf"], "train": {"lr": 0.1}}
    project.write_params(folder, project.PARAMS | {"methods": project.PARAMS["methods"] | {"frozen": method}})
    succeeded(stage(folder, "train", **FROZEN))
    logits = read_tensors(folder / RUN.format("frozen") / "logits.safetensors")
    labels = logits["validation.labels"]
    for name in ("linear", "text", "fused"):
        right = logits[f"validation.{name}"].argmax(1) == labels
        assert rows[f"acc_{name}"][3] == pytest.approx(np.mean([right[labels == k].mean() for k in range(4)]))


def test_a_sweep_over_trainings_of_a_tower_has_the_scores_of_each(prepared, params, tmp_path):
    folder = shutil.copytree(prepared, tmp_path / "project")
    params["methods"]["fft"]["train"] = {"validate_every": 0}
    params["sweeps"]["fft"] = {"tower_lr": [0.01, 0.3], "layer_decay": [0.5, 1]}
    params["grid"] |= {"sweep": ["fft"], "method": ["fft"]}
    project.write_params(folder, params)
    said = succeeded(stage(folder, "sweep", **CELL, method="fft")).stdout
    assert "4 of 4 trials are done" in said
    rows = pd.read_csv(folder / SWEEP.format("fft"))
    assert rows[["layer_decay", "tower_lr"]].to_numpy().tolist() == [[0.5, 0.01], [0.5, 0.3], [1, 0.01], [1, 0.3]]
    params["methods"]["fft"] |= {"layer_decay": 0.5, "tower_lr": 0.3}
    project.write_params(folder, params)
    succeeded(stage(folder, "train", **CELL, method="fft"))
    logits = read_tensors(folder / RUN.format("fft") / "logits.safetensors")
    right = logits["validation.linear"].argmax(1) == logits["validation.labels"]
    recalls = [right[logits["validation.labels"] == k].mean() for k in range(4)]
    assert rows["accuracy"][1] == pytest.approx(np.mean(recalls))


def test_linear_probing_on_fresh_views_is_that_on_cached_ones_where_all_views_are_alike(prepared, params, tmp_path):
    folder = shutil.copytree(prepared, tmp_path / "project")
    params["augmentations"]["simple"]["weak"] = {"pad": 0, "flip": False}
    params["augmentations"]["simple"]["strong"] |= {"operations": 0, "cutout": SQUARE | {"size": 0}}
    params["methods"]["fresh"] = {"extends": "lp", "views": "fresh"}
    params["grid"]["method"] = ["lp", "fresh"]
    project.write_params(folder, params)
    succeeded(stage(folder, "features", **CELL))
    found = {}
    for method in ("lp", "fresh"):
        succeeded(stage(folder, "train", **CELL, method=method))
        found[method] = read_tensors(folder / RUN.format(method) / "logits.safetensors")
    for name in ("test.linear", "unlabeled.pseudo"):
        np.testing.assert_allclose(found["fresh"][name], found["lp"][name], atol=1e-4)
    weights = read_tensors(folder / RUN.format("fresh") / "weights.safetensors")
    assert not [name for name in weights if name.startswith("encoder.")]


def test_validation_entries_are_made_from_so_many_pictures_of_each_class(prepared, params, tmp_path):
    folder = shutil.copytree(prepared, tmp_path / "project")
    params["methods"]["lft"]["train"] = {"validate_every": 3, "validate_pictures": 2}
    params["grid"]["method"] = ["lft"]
    project.write_params(folder, params)
    succeeded(stage(folder, "train", **CELL, method="lft"))
    rows = pd.read_csv(folder / RUN.format("lft") / "validation.csv")
    assert rows["step"].tolist() == [3] * 4 + [4] * 4 and set(rows["pictures"]) == {2}
    logits = read_tensors(folder / RUN.format("lft") / "logits.safetensors")  # of all three, in the order of the store
    right = logits["validation.linear"].argmax(1) == logits["validation.labels"]
    first = [right[np.flatnonzero(logits["validation.labels"] == k)[:2]].sum() for k in range(4)]
    assert rows["right"].tolist()[4:] == first


def test_pictures_that_were_cropped_are_refused_to_a_tower_that_takes_squashed_ones(refused):
    for path in Path("artifacts/backbones/tiny").glob("open_clip_config.json"):
        config = json.loads(path.read_text())
        config["preprocess_cfg"]["resize_mode"] = "squash"
        path.write_text(json.dumps(config))
    message = "datasets.shapes.source.resize = 'shortest': this tower takes pictures by squash (allowed: squash)"
    assert message in refused("features", **CELL)


def test_aggregate_misses_no_cell(trained, ended, params, monkeypatch, tmp_path):
    folder = shutil.copytree(trained, tmp_path / "project")
    monkeypatch.chdir(folder)
    params["grid"]["seed"] = [0, 1]
    project.write_params(folder, params)
    before = content(folder / "results")
    assert "seed1/metrics.json: No such file or directory" in ended("aggregate")
    assert content(folder / "results") == before


def test_a_source_of_one_class_is_refused(tiny, refused):
    for part in ("train", "test"):
        for name in project.CLASSES[1:]:
            shutil.rmtree(tiny / "pictures" / part / name)
    assert refused("resolve") == "resolve: params.yaml: datasets.shapes.source: has 1 class, at least 2 are needed"


def test_a_configuration_that_changes_during_a_stage_is_noticed(tiny):
    script, config = tiny / "stages/split.py", tiny / "artifacts/config/split/shapes/tail/seed0.json"
    edit_ = f"__import__('shutil').copy('other.json', '{config.relative_to(tiny)}')"
    script.write_text(script.read_text().replace("    write_json", f"    {edit_}\n    write_json"))
    (tiny / "other.json").write_text(config.read_text().replace('"validation": 3', '"validation": 2'))
    line = one_line(stage(tiny, "split", dataset="shapes", split="tail", seed=0))
    assert line == f"split shapes tail 0: {config.relative_to(tiny)}: changed while this ran; run again"


def test_an_edit_of_the_parameters_does_not_reach_a_stage_that_the_engine_has_still_to_start(tiny, params):
    """Until they are resolved again, which each call of an engine begins with."""
    params["datasets"]["shapes"]["splits"]["tail"]["n1"] = 5
    project.write_params(tiny, params)
    names = ("--dataset", "shapes", "--split", "tail", "--seed", "0")
    done = succeeded(project.run(tiny, "python", "-m", "stages.split", *names))
    assert "14 labeled" in done.stdout
    succeeded(stage(tiny, "resolve"))
    assert "14 labeled" not in succeeded(project.run(tiny, "python", "-m", "stages.split", *names)).stdout


def test_the_package_of_another_clone_is_refused(tiny):
    shutil.rmtree(tiny / "ulfine")  # so that the installed one is found
    names = ["--dataset", "shapes", "--split", "tail", "--seed", "0"]
    line = one_line(project.run(tiny, "python", "-m", "stages.split", *names))
    assert re.search(r"ulfine is imported from \S+/ulfine, not from here", line)


def test_a_killed_training_goes_on_and_ends_in_the_same_bytes(tiny, params):
    params["train"] |= {"steps": 300, "log_every": 100}
    project.write_params(tiny, params)
    succeeded(stage(tiny, "resolve"))
    eager = tiny / "ulfine/training/checkpoint.py"
    eager.write_text(eager.read_text().replace("SECONDS = 30", "SECONDS = 0.1"))
    command = [
        "python",
        "-m",
        "stages.train",
        *(str(x) for k, v in (CELL | {"method": "lp"}).items() for x in (f"--{k}", v)),
    ]
    killed = subprocess.Popen(
        command, cwd=tiny, env=project.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 60
    while not list((tiny / "artifacts").glob("checkpoints/*.pt")) and time.monotonic() < deadline:
        time.sleep(0.05)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert not (tiny / RUN.format("lp")).exists()
    (checkpoint,) = (tiny / "artifacts/checkpoints").glob("*.pt")

    resumed = succeeded(stage(tiny, "train", **CELL, method="lp"))
    assert "resuming at step" in resumed.stdout
    assert not checkpoint.exists()
    interrupted = content(tiny / RUN.format("lp"))
    undisturbed = succeeded(stage(tiny, "train", **CELL, method="lp"))
    assert "resuming" not in undisturbed.stdout
    assert content(tiny / RUN.format("lp")) == interrupted


def test_an_unknown_argument_is_refused(tiny):
    done = scripted(tiny, "split", dataset="shapes", split="tail", sed=0)
    assert done.returncode == 2 and "the following arguments are required: --seed" in done.stderr


def test_the_loss_of_the_guide_takes_one_function_and_two_lines(prepared, tmp_path):
    """What docs/extend.md shows is done to a copy of the project, and a training uses it."""
    folder = shutil.copytree(prepared, tmp_path / "project")
    guide = (ROOT / "docs/extend.md").read_text()
    function = re.search(r"^    (def fairness.*?)\n\n(?! )", guide, re.DOTALL | re.MULTILINE)[1].replace("\n    ", "\n")
    line = re.search(r"^    (Loss = .*)$", guide, re.MULTILINE)[1]
    losses_file, train_file = folder / "ulfine/methods/losses.py", folder / "ulfine/params/train.py"
    entry = re.search(r"^    (\"fairness\": fairness,)$", guide, re.MULTILINE)[1]
    text = losses_file.read_text().replace("LOSSES = {\n", f"{function}\n\n\nLOSSES = {{\n    {entry}\n")
    losses_file.write_text(text)
    train_file.write_text(re.sub(r"^Loss = .*$", line, train_file.read_text(), flags=re.MULTILINE))
    given = "strong=torch.log(torch.tensor([[0.9, 0.1], [0.6, 0.4]]))"
    code = "import torch; from types import SimpleNamespace as S; from ulfine.methods.losses import fairness; "
    done = project.run(folder, "python", "-c", f"{code}print(fairness(S({given})).item())")
    found = float(succeeded(done).stdout)
    assert found == pytest.approx(-(math.log(0.75) + math.log(0.25)) / 2 - math.log(2))
    options = project.PARAMS["train"] | {"losses": {"labeled": 1, "unlabeled": 1, "fairness": 0.1}}
    project.write_params(folder, project.PARAMS | {"train": options})
    succeeded(scripted(folder, "resolve"))
    succeeded(scripted(folder, "train", **CELL, method="lp"))
    history = (folder / "artifacts/runs/shapes/tail/tiny/lp/seed0/history.csv").read_text()
    assert "loss_fairness" in history.splitlines()[0]


def test_the_text_tower_reads_the_templates_and_the_file_of_names(tiny):
    """A class with sentences of its own is their mean, the others are the mean of both templates."""
    names = "blue_dot: dot\ngreen_bar: [a bar, bars]\ngrey_cross: cross\nred_circle: o\n"
    (tiny / "names.yaml").write_text(names)
    params = copy.deepcopy(project.PARAMS)
    named = {"path": "names.yaml", "sha256": sha256(tiny / "names.yaml")}
    params["datasets"]["shapes"] |= {"prompt": ["a {}", "my {}."], "class_names": named}
    project.write_params(tiny, params)
    succeeded(stage(tiny, "features", **CELL))
    found = read_tensors(tiny / FEATURES / "text.safetensors")["joint.prototypes"]
    clip, tokenizer = load_text_tower(tiny / "artifacts/backbones/tiny")
    said = ["a dot", "my dot.", "a bar", "bars", "a cross", "my cross.", "a o", "my o."]
    with torch.inference_mode():
        means = clip.encode_text(tokenizer(said), normalize=True).unflatten(0, (4, 2)).mean(1)
    torch.testing.assert_close(torch.from_numpy(found), torch.nn.functional.normalize(means, dim=-1))


def name_classes(folder: Path, **said: str | list[str]) -> None:
    """Let params.yaml of the tiny project name a file that calls its classes so."""
    (folder / "names.yaml").write_text(json.dumps(said))
    params = copy.deepcopy(project.PARAMS)
    named = {"path": "names.yaml", "sha256": sha256(folder / "names.yaml")}
    params["datasets"]["shapes"]["class_names"] = named
    project.write_params(folder, params)


LONG = "a photo of a very small thing that was drawn with a pen of this colour:"  # the tower takes 14 tokens


def test_features_say_how_many_sentences_the_text_tower_cuts(tiny):
    name_classes(tiny, blue_dot="dot", green_bar="bar", grey_cross=[f"{LONG} grey", f"{LONG} black"], red_circle="o")
    lines = succeeded(stage(tiny, "features", **CELL)).stdout.splitlines()
    cut = "2 sentences are cut at the text tower's 16 tokens, the first one of class 'grey cross'"
    assert lines[0] == f"features shapes tail tiny 0: {cut}" and lines[1].startswith(
        "features shapes tail tiny 0: done in "
    )
    assert len(lines) == 2


@pytest.mark.parametrize(
    ("bar", "cross"),
    [
        (f"{LONG} green", f"{LONG} grey"),
        ("dog's", "dog\u2019s"),
        ("caf\u00e9", "caf\u00c3\u00a9"),
        ("bar", ["a photo of a bar"]),
        ("<end_of_text> bar", "<end_of_text> cross"),
    ],
)
def test_features_refuse_classes_that_the_text_tower_cannot_tell_apart(tiny, refused, bar, cross):
    name_classes(tiny, blue_dot="dot", green_bar=bar, grey_cross=cross, red_circle="o")
    line = refused("features", **CELL)
    apart = "the text tower cannot tell the classes 'green bar' and 'grey cross' apart: "
    assert line.startswith(f"features shapes tail tiny 0: {apart}")
    assert line.endswith("other sentences by class_names, or shorten a prompt that is cut")
