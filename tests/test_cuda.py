"""The CUDA path on a pretended device: the bytes of the CPU, no mix of devices, and no wait that is not listed.

It needs gcc and torch's CUDA wheels. `make check-cuda` runs it.
"""

import copy
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers import rivals
from tests.helpers.cuda import UnavailableError, environment
from tests.helpers.project import PARAMS, ROOT, make_project, run, succeeded, write_params

pytestmark = pytest.mark.slow

AT = "--dataset shapes --split tail"
RIVALS = [kind for kind in rivals.CONSTANTS if kind != "crest"]  # which waits, once a generation
TRAINED = ["lp", "lft", "fft", "ulfine", "frozen", "projection", "adamw", "bias", *RIVALS]
FIRST = ["resolve", "data --dataset shapes", "backbone --backbone tiny", f"split {AT} --seed 0"]
FEATURES = f"features {AT} --backbone tiny --seed 0"
# What may wait for the device: the number of views that pass, once a step; and what logs, predictions and the end read.
MAY_WAIT = {
    "training/learner.py forward": {"nonzero"},
    "training/optimizers.py restore": {"copy to the CPU"},  # once
    "methods/paf.py projected": {"_linalg_eigh"},  # an update, with one kind of orthogonality
}
READERS = (
    "training/checkpoint.py",
    "training/history.py",
    "training/predict.py",
    "training/run.py",
    "training/sweep.py",
    "models/extract.py",
)
SET_UP = (
    "data/resident.py __init__",
    "training/run.py",
    "training/optimizers.py",
    "training/checkpoint.py load",
    "torch",
)


def params(precision: str = "fp32") -> dict:
    values = copy.deepcopy(PARAMS)
    values["grid"] |= {"method": ["zero_shot", *TRAINED], "seed": [0], "baseline": ["scratch"], "sweep": ["frozen"]}
    values["train"] |= {"validate_every": 2}
    values["backbones"]["tiny"]["precision"] = precision
    methods = values["methods"]
    methods["projection"] = copy.deepcopy(methods["ulfine"])
    methods["projection"]["paf"] |= {"orthogonality_by": "projection", "orthogonality": 0.5}
    methods["adamw"] = methods["fft"] | {"train": {"optimizer": "adamw", "ema_decay": 0.9}}
    methods |= {kind: rivals.method(kind) for kind in rivals.CONSTANTS}
    methods["bias"] = methods["lft"] | {"adapter": {"kind": "bias"}, "train": {"accumulate": 2}}
    return values


def commands(killed: tuple[str, ...] = ()) -> list[str]:
    of_methods = [f"train {AT} --backbone tiny --method {name} --seed 0" for name in ("zero_shot", *TRAINED)]
    of_methods += [f"baseline {AT} --method scratch --seed 0", f"sweep {AT} --backbone tiny --method frozen --seed 0"]
    return [f"killed {text}" if any(f" {name} " in text for name in killed) else text for text in of_methods]


@pytest.fixture(scope="module")
def device(tmp_path_factory) -> dict[str, str]:
    try:
        return environment(tmp_path_factory.mktemp("cuda"))
    except UnavailableError as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="module")
def on_the_cpu(tmp_path_factory) -> dict[str, bytes]:
    folder = make_project(tmp_path_factory.mktemp("cpu"))
    write_params(folder, params())
    for command in [*FIRST, FEATURES, *commands()]:
        succeeded(run(folder, "python", "-m", *f"stages.{command}".split()))
    return made(folder)


def made(folder: Path) -> dict[str, bytes]:
    files = [path for part in ("features", "runs", "sweeps") for path in (folder / "artifacts" / part).rglob("*.*")]
    found = {str(path.relative_to(folder)): path.read_bytes() for path in sorted(files)}
    # the digest of the parameters, among which the device is
    return {name: re.sub(rb'"params_digest": "\w+"', b"", content) for name, content in found.items()}


def on_the_device(folder: Path, environment: dict[str, str], values: dict, asked: list[str]) -> dict[str, list]:
    make_project(folder)
    write_params(folder, values | {"runtime": values["runtime"] | {"device": "cuda"}})
    command = [sys.executable, "-m", "tests.helpers.cuda.run", "noted.json", *asked]
    environment = environment | {"PYTHONPATH": str(ROOT), "ULFINE_TRACEBACK": "1"}
    found = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr
    assert "kernel was launched" not in found.stderr
    return json.loads((folder / "noted.json").read_text())


def unlisted(noted: dict[str, list]) -> list:
    """What the device minded and is not allowed."""
    found = []
    for command, rows in noted.items():
        for kind, what, detail, where, count in rows:
            if kind == "waits":
                allowed = where.startswith(READERS) or what in MAY_WAIT.get(where, ())
            elif kind == "pageable":
                allowed = where.startswith(SET_UP) or command.startswith("features")
            else:
                allowed = kind == "attention"
            if not allowed:
                found.append((command, kind, what, detail, where, count))
    return found


def attention(noted: dict[str, list]) -> set[tuple[str, str]]:
    return {(what, detail) for rows in noted.values() for kind, what, detail, *_ in rows if kind == "attention"}


def test_every_method_gives_the_bytes_of_the_cpu(device, on_the_cpu, tmp_path):
    noted = on_the_device(tmp_path / "run", device, params(), [*FIRST, FEATURES, *commands()])
    found = made(tmp_path / "run")
    assert found.keys() == on_the_cpu.keys()
    assert [name for name in found if found[name] != on_the_cpu[name]] == []
    assert unlisted(noted) == []
    assert attention(noted) == {("_scaled_dot_product_efficient_attention", "torch.float32")}


def test_a_training_that_was_killed_resumes_to_the_same_bytes(device, on_the_cpu, tmp_path):
    killed = ("lp", "ulfine", "adamw", "scratch")
    asked = [text for text in commands(killed) if text.startswith("killed")]
    noted = on_the_device(tmp_path / "run", device, params(), [*FIRST, FEATURES, *asked])
    found = made(tmp_path / "run")
    assert found and [name for name in found if found[name] != on_the_cpu[name]] == []
    assert unlisted(noted) == []


def test_bf16_takes_the_attention_that_is_deterministic(device, tmp_path):
    asked = [text for text in commands() if "lft" in text or "fft" in text or "ulfine" in text]
    noted = on_the_device(tmp_path / "run", device, params("bf16"), [*FIRST, FEATURES, *asked])
    trained = {command: rows for command, rows in noted.items() if command.startswith("train")}
    assert unlisted(noted) == []
    assert attention(trained) == {("_scaled_dot_product_flash_attention", "torch.bfloat16")}
