"""What a job may need where no run is on record: stated guesses, from its configuration alone.

They are right within a factor of two for the default grid on two cores of an AMD EPYC of 2025, and rougher elsewhere. A
record of a run like it corrects them (`ulfine.runner.plan`).
"""

from collections.abc import Mapping
from math import prod
from typing import Any, NamedTuple

SMALL = "lite0-minilm"
# Billions of operations of one picture's way through a tower (twice the multiplications), at a side in pixels.
OPERATIONS = {
    SMALL: (0.048, 64),
    "RN50": (12, 224),
    "ViT-B-32": (8.8, 224),
    "ViT-B-16": (35, 224),
    "ViT-L-14": (162, 224),
}
OTHER_TOWER = "ViT-B-16"
WIDE_RESNET = (0.1, 28, 32)  # of depth 28 and width 1
PASSES = {
    "none": 1,
    "head": 1,
    "adapters": 2,
    "all": 3,
    "scratch": 3,
}  # back and forth, on average over labeled, weak, strong
RATE = {"cpu": 25, "cuda": 40_000}  # billions of operations a second: of a thread, of a GPU
PICTURES = 70_000  # of a data set that is not here yet, as in CIFAR
PLAIN_MB, SMALL_TOWER_MB, TOWER_MB = 500, 1_200, 6_000  # memory: without a tower, with a small one, with CLIP's
START = {"backbone": 14, "report": 20}  # seconds of a stage besides operations: imports, mostly
START_OTHERS = 3
VALUES = 1280  # of the features of a view
RUN_MB = 3


class Need(NamedTuple):
    """What one job takes."""

    seconds: float
    cpu_seconds: float
    gpu_seconds: float
    memory_mb: float
    disk_mb: float


def guess(stage: str, config: Mapping[str, Any], pictures: int | None) -> Need:
    """Guess what a job needs. pictures: of its data set, or for `features` of its split; None if unknown."""
    pictures = pictures or PICTURES
    runtime = config.get("runtime") or {}
    kind = str(runtime.get("device", "cpu")).partition(":")[0]
    threads = runtime.get("num_threads", 1)
    operations = _operations(stage, config, pictures)
    seconds = START.get(stage, START_OTHERS) + operations / (RATE[kind] * (threads if kind == "cpu" else 1))
    cpu_seconds = seconds * (threads if operations and kind == "cpu" else 1)
    gpu_seconds = seconds if kind == "cuda" and stage != "backbone" else 0
    return Need(seconds, cpu_seconds, gpu_seconds, _memory(config), _disk(stage, config, pictures))


def _operations(stage: str, config: Mapping[str, Any], pictures: int) -> float:
    match stage:
        case "features":
            return pictures * (1 + sum(config["augmentation"]["views"].values())) * _tower(config["backbone"])
        case "train" | "baseline" | "sweep" if config.get("train"):
            return _trainings(config) * _training(config, pictures)
        case _:
            return 0


def _training(config: Mapping[str, Any], pictures: int) -> float:
    train, method = config["train"], config["method"]
    tune = method["tune"]
    if tune == "head" and method.get("views") != "fresh":  # features are there
        return 0
    seen = train["steps"] * train["batch_size"] * (1 + 2 * train["unlabeled_ratio"])
    one = _wide_resnet(method["scratch"]) if tune == "scratch" else _tower(config["backbone"])
    return (seen * PASSES[tune] + pictures) * one  # every picture once more for scores


def _trainings(config: Mapping[str, Any]) -> int:
    return prod(len(values) for values in (config.get("sweep") or {}).values())


def _tower(backbone: Mapping[str, Any]) -> float:
    name = next((known for known in OPERATIONS if backbone["model"].startswith(known)), OTHER_TOWER)
    operations, side = OPERATIONS[name]
    return operations * (backbone["resolution"] / side) ** 2


def _wide_resnet(scratch: Mapping[str, Any]) -> float:
    operations, depth, side = WIDE_RESNET
    return operations * scratch["width"] ** 2 * scratch["depth"] / depth * (scratch["resolution"] / side) ** 2


def _is_small(config: Mapping[str, Any]) -> bool:
    return config.get("backbone", {"model": SMALL})["model"] == SMALL


def _memory(config: Mapping[str, Any]) -> float:
    if "runtime" not in config:
        return PLAIN_MB
    return SMALL_TOWER_MB if _is_small(config) else TOWER_MB


def _disk(stage: str, config: Mapping[str, Any], pictures: int) -> float:
    match stage:
        case "data":
            return pictures * config["resolution"] ** 2 * 3 / 2**20
        case "features":
            return pictures * (1 + sum(config["augmentation"]["views"].values())) * VALUES * 4 / 2**20
        case "backbone":
            return 100 if _is_small(config) else 600
        case "train" | "baseline":
            return RUN_MB
        case _:
            return 0.1
