"""A small copy of the project that runs in seconds: generated pictures, a tiny CLIP with random weights."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from contextlib import chdir
from functools import cache
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

from tests.helpers.pictures import SIMPLE
from ulfine.files import write_if_changed
from ulfine.params.root import load
from ulfine.runner.jobs import PARAMS as PARAMS_FILE
from ulfine.runner.jobs import job
from ulfine.runner.resolve import configuration

ROOT = Path(__file__).parents[2]
CODE = (
    *("stages", "ulfine", "workflow", "Snakefile", "dvc.yaml", ".dvcignore", ".gitignore"),
    *("CITATION.cff", "assets/published.csv"),
)
# Folders in artifacts/ that are about the others.
ABOUT = ("code", "config", "fingerprints", "logs", "progress", "provenance")
CLASSES = ("red_circle", "green_bar", "blue_dot", "grey_cross")
CELL = {"dataset": "shapes", "split": "tail", "backbone": "tiny", "seed": 0}
BASELINE = CELL | {"backbone": "none", "method": "scratch"}
SCRATCH = {key: name for key, name in BASELINE.items() if key != "backbone"}  # as the stage `baseline` takes it

TINY_CLIP = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}

PARAMS = {
    "study": "tiny",
    "grid": {
        "dataset": ["shapes"],
        "split": ["tail"],
        "backbone": ["tiny"],
        "method": ["zero_shot", "lp"],
        "seed": [0],
        "baseline": ["scratch"],
        "sweep": ["frozen"],
    },
    "datasets": {
        "shapes": {
            "source": {"kind": "folder", "path": "pictures", "licence": "none"},
            "resolution": 16,
            "augmentation": "simple",
            "prompt": "a photo of a {}",
            "class_names": "source",
            "train": {},
            "splits": {
                "tail": {
                    "n1": 6,
                    "m1": 10,
                    "gamma_labeled": 3,
                    "gamma_unlabeled": 2,
                    "shape": "consistent",
                    "validation": 3,
                    "shuffle_ranks": True,
                    "include_labeled_in_unlabeled": False,
                }
            },
        }
    },
    "backbones": {
        "tiny": {
            "model": "tiny.json",
            "pretrained": "tiny.pt",
            "resolution": 32,
            "precision": "fp32",
            "feature_space": "pooled",
        }
    },
    "augmentations": {"simple": SIMPLE},
    "train": {
        "steps": 4,
        "batch_size": 4,
        "unlabeled_ratio": 2,
        "labeled_view": "weak",
        "optimizer": "sgd",
        "lr": 0.05,
        "momentum": 0.9,
        "nesterov": False,
        "weight_decay": 5e-4,
        "decay_vectors": True,
        "schedule": "cosine",
        "warmup": 0,
        "ema_decay": 0,
        "scale": 25,
        "center": True,
        "classifier_init": "text",
        "logit_adjustment": 1,
        "threshold": 0.3,
        "pseudo_labels": "hard",
        "pseudo_label_adjustment": 0,
        "adjust_twice": False,
        "unlabeled_adjustment": 0,
        "unlabeled_prior": "estimated",
        "prior_decay": 0.9,
        "distribution_alignment": "none",
        "losses": {"labeled": 1, "unlabeled": 1},
        "test_crops": 1,
        "accumulate": 1,
        "checkpoint_blocks": False,
        "compile": False,
        "log_every": 2,
        "validate_every": 0,
        "validate_pictures": 0,
        "tracker": "none",
    },
    "methods": {
        "zero_shot": {"tune": "none"},
        "lp": {"tune": "head"},
        "lft": {"tune": "adapters", "adapter": {"kind": "adaptformer", "width": "auto"}},
        "fft": {"tune": "all", "tower_lr": 0.01},
        "ulfine": {
            "tune": "adapters",
            "adapter": {"kind": "adaptformer", "width": "auto"},
            "paf": {
                "prototypes": "learnable",
                "mu": 0.1,
                "update_every": 2,
                "anchor": "running",
                "visual_decay": 0.9,
                "orthogonality": 0.1,
                "orthogonality_by": "loss",
            },
            "dlf": {"eta": 0.5, "align": "range", "use_in": ["pseudo_labels", "test"]},
        },
        "frozen": {"tune": "head", "dlf": {"eta": 0.5, "align": "range", "use_in": ["test"]}},
        "scratch": {
            "tune": "scratch",
            "scratch": {"depth": 10, "width": 1, "resolution": 16, "norm_momentum": 0.1},
            "train": {
                "classifier_init": "random",
                "nesterov": True,
                "decay_vectors": False,
                "schedule": "cosine_7_16",
                "ema_decay": 0.9,
                "validate_every": 2,
            },
        },
    },
    "sweeps": {"frozen": {"dlf.eta": [0, 0.5], "train.lr": [0.01, 0.1]}, "lft": {"train.lr": [0.05]}},
    "claims": {
        "families": {
            "plain": {"title": "plain"} | {name: f"{name}_plain" for name in ("lp", "lft", "fft", "ulfine", "scratch")},
            "adjusted": {"title": "adjusted"} | {name: name for name in ("lp", "lft", "fft", "ulfine", "scratch")},
        },
        "level": 0.95,
        "margin": 0.01,
        "rising": 0.005,
        "draws": 1000,
    },
    "page": {"pictures": 2},
    "published": {"scratch": {"steps": 10, "batch_size": 2, "unlabeled_ratio": 1}},
    "runtime": {"device": "cpu", "num_threads": 1},
}


def make_project(folder: Path) -> Path:
    """Fill `folder` with the project's code, a git and DVC repository, pictures, a backbone and params.yaml."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in CODE:
        source = ROOT / name
        copy = shutil.copytree if source.is_dir() else shutil.copy
        (folder / name).parent.mkdir(exist_ok=True)
        copy(source, folder / name)
    shutil.copytree(ROOT / ".dvc", folder / ".dvc", ignore=shutil.ignore_patterns("cache", "tmp", "config.local"))
    write_pictures(folder / "pictures")
    write_backbone(folder)
    write_params(folder, PARAMS)
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    return folder


def write_params(folder: Path, params: dict) -> None:
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))


def write_pictures(folder: Path, train: int = 22, test: int = 6) -> None:
    """Noise around a colour of its own for each class."""
    rng = np.random.default_rng(0)
    for label, name in enumerate(CLASSES):
        colour = np.eye(3)[label] * 160 if label < 3 else np.full(3, 120)
        for part, count in (("train", train), ("test", test)):
            (folder / part / name).mkdir(parents=True)
            for number in range(count):
                noisy = np.clip(colour + rng.normal(40, 40, (16, 16, 3)), 0, 255).astype(np.uint8)
                Image.fromarray(noisy).save(folder / part / name / f"{number:02}.png")


def write_backbone(folder: Path) -> None:
    """tiny.json and tiny.pt: the real CLIP architecture of open_clip, very small, with random weights."""
    import open_clip
    import torch

    (folder / "tiny.json").write_text(json.dumps(TINY_CLIP))
    torch.manual_seed(0)
    torch.save(open_clip.CLIP(**TINY_CLIP).state_dict(), folder / "tiny.pt")


def environment() -> dict[str, str]:
    """The environment of a user whose interpreter was set up for another clone: the one of these tests."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "PYTEST", "COV"))}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return kept | {"PATH": path, "DVC_NO_ANALYTICS": "1"}


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command in the project; the result has its exit code, stdout and stderr."""
    return subprocess.run(
        command, cwd=folder, env=environment(), capture_output=True, text=True, check=False, timeout=280
    )


@cache
def without_network() -> tuple[str, ...]:
    """What to put before a command so that it finds no network; nothing where the kernel allows no such namespace."""
    found = shutil.which("unshare")
    for privileges in ((), ("--user", "--map-root-user")):
        prefix = ("unshare", *privileges, "--net")
        if found and subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode == 0:
            return prefix
    return ()


def run_offline(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command without a network where that can be done; the file `interfaces` lists those that it could use."""
    noted = ("sh", "-c", 'cat /proc/net/dev > interfaces; exec "$@"', "sh")
    return run(folder, *without_network(), *noted, *command)


def options(names: Mapping[str, str | int]) -> list[str]:
    """The names of a cell as a stage takes them: --key value for each."""
    return [text for key, value in names.items() for text in (f"--{key}", str(value))]


def stage(folder: Path, name: str, **names: str | int) -> subprocess.CompletedProcess[str]:
    """Run one stage script, as `scripted` does, on a configuration that is as params.yaml has it now."""
    configure(folder, name, names)
    return scripted(folder, name, **names)


def scripted(folder: Path, name: str, **names: str | int) -> subprocess.CompletedProcess[str]:
    """Run one stage script; what it imported is in trace-{name}.json, where it connected to in connections.txt."""
    traced = str(ROOT / "tests/helpers/traced.py")
    return run(folder, "python", traced, f"trace-{name}.json", f"stages.{name}", *options(names))


def configure(folder: Path, name: str, names: dict[str, str | int]) -> None:
    """Write the configuration of one job, which need not be of the grid, as params.yaml has it now."""
    with chdir(folder):
        config = job(name, names).config
        if config:
            write_if_changed(Path(config), configuration(load(PARAMS_FILE), job(name, names)))


def succeeded(done: subprocess.CompletedProcess[str]) -> subprocess.CompletedProcess[str]:
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done
