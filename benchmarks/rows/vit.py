"""3, 7, 8. ViT-B/16 at 224 px on a GPU: input pipeline, share of the bf16 matmul rate, peak memory of LFT and FFT.

open_clip's architecture with random weights, in bf16. A step has 32 labeled pictures and 7 x 32 unlabeled ones, the
latter as a weak and a strong view, all of which pass (threshold 0), out of 10,000 pictures of 32 px in 100 classes.
"""

from ulfine.runner.stage import stage  # noqa: F401 (sets the number of threads)

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import open_clip
import torch
import torch.nn.functional as F

from benchmarks.cell import Training
from benchmarks.measured import Found, quartiles, ratios, report, seconds
from benchmarks.rows.pipeline import Ready
from ulfine.data.store import Store
from ulfine.models.classifiers import CosineClassifier, UnitFeatures
from ulfine.models.tower import ImageTower
from ulfine.params.backbone import Backbone
from ulfine.params.root import load
from ulfine.params.train import Train
from ulfine.runner.jobs import PARAMS
from ulfine.training.batches import Batches, PictureViews
from ulfine.training.checkpoint import Checkpoint
from ulfine.training.device import prepare
from ulfine.training.history import History
from ulfine.training.learner import Learner
from ulfine.training.loop import Loop
from ulfine.training.start import Start
from ulfine.training.towers import tune

VIT_B16 = {"image_size": 224, "layers": 12, "width": 768, "patch_size": 16}
CLASSES, PICTURES, STEPS, SIDE = 100, 10_000, 20, 8192
BATCH = "batch 32 + 7x32, 224 px, bf16"
NAMES = {
    3: ("share of its rate, LFT, ViT-B/16", "", 0.9, "higher"),
    7: ("LFT", "", 0.4, "higher"),
    8: ("LFT", "GiB", 12, "lower"),
}


def training(method: str, device: torch.device, vision: dict, batch: int) -> Training:
    """Prepare a training of a tower with random weights."""
    params = load(PARAMS)
    torch.manual_seed(0)
    visual = open_clip.model._build_vision_tower(512, vision, quick_gelu=True)
    size = vision["image_size"]
    backbone = Backbone(
        model="ViT-B-16-quickgelu", pretrained="none", resolution=size, precision="bf16", feature_space="pooled"
    )
    half = (0.5, 0.5, 0.5)
    tower = ImageTower(
        visual, backbone, {"mean": half, "std": half, "interpolation": "bicubic", "resize_mode": "shortest"}
    )
    chosen = params.methods[method]
    text = F.normalize(torch.randn(CLASSES, vision["width"]), dim=-1)
    train = Train(
        **params.train.model_dump() | {"batch_size": batch, "unlabeled_ratio": 7, "steps": 1000, "threshold": 0.0}
    )
    encoder = UnitFeatures(tune(tower, chosen, train, CLASSES), torch.zeros(vision["width"]))
    start = Start(encoder, CosineClassifier(text, train.scale), text, torch.zeros(CLASSES))
    learner = Learner(start, chosen, train).to(device).train()
    rng = np.random.default_rng(0)
    images = {part: rng.integers(0, 256, (PICTURES, 32, 32, 3), np.uint8) for part in ("train", "test")}
    labels = np.arange(PICTURES) % CLASSES
    views = PictureViews(Store(images, {}, {}), params.augmentations["torchvision"], device, tower.enlarge)
    indices = {"labeled": np.arange(PICTURES // 10), "unlabeled": np.arange(PICTURES // 10, PICTURES)}
    batches = Batches(views, labels, indices, train, 0)
    with TemporaryDirectory() as folder:
        checkpoint = Checkpoint(Path(folder) / "none.pt", device)
    return Training(learner, batches, train, Loop(learner, batches, train, History(CLASSES), checkpoint, list))


def matmul_rate(device: torch.device, side: int = SIDE) -> float:
    """Return the floating-point operations per second of a bf16 matrix product, the best of eleven."""
    a, b = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    return 2 * side**3 / min(seconds(lambda: a @ b, device) for _ in range(11))


def measure(device: torch.device, vision: dict, batch: int = 32, side: int = SIDE) -> list[Found]:
    """Measure the figures of all three rows."""
    peaks, found = {}, []
    for method in ("fft", "lft"):
        real = training(method, device, vision, batch)
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        for step in range(3):
            real.loop._step(step)
        peaks[method] = torch.cuda.max_memory_allocated(device) / 2**30 if device.type == "cuda" else 0.0
    ready = training("lft", device, vision, batch)
    ready.loop.batches = Ready([real.batches.at(step) for step in range(4)])
    taken = iter(range(3, 1000))
    shares = ratios(lambda: ready.step(next(taken)), lambda: real.step(next(taken)), STEPS, device)
    rate = matmul_rate(device, side)
    steps = sorted(seconds(lambda: real.step(next(taken)), device) for _ in range(STEPS))
    used = [real.loop.operations.of(1, 8 * batch) / step / rate for step in steps]
    for row, values in ((3, shares), (7, used)):
        name, unit, target, better = NAMES[row]
        note = f"{quartiles(values)}; {BATCH}" + (f"; matmul {rate / 1e12:.0f} TFLOP/s" if row == 7 else "")
        found.append(Found(row, name, values[len(values) // 2], unit, target, better, note))
    name, unit, target, better = NAMES[8]
    found.append(Found(8, name, peaks["lft"], unit, target, better, f"FFT {peaks['fft']:.1f} GiB; {BATCH}"))
    return found


def main() -> None:
    """Measure on a GPU, or report that there was none."""
    params = load(PARAMS)
    if not torch.cuda.is_available():
        for row, (name, unit, target, better) in NAMES.items():
            report(Found(row, name, None, unit, target, better, f"no GPU was at hand; {BATCH}"))
        return
    device = prepare(params.runtime.model_copy(update={"device": "cuda"}))
    report(*measure(device, VIT_B16), device=device)


if __name__ == "__main__":
    main()
