"""A finished run, ready to classify new pictures as it classified its test pictures."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

import numpy as np
import torch

from ulfine.data.folders import Scan
from ulfine.data.pictures import read
from ulfine.data.store import Store
from ulfine.params.dataset import Resize
from ulfine.runner.runs import Run, find_run, load_learner
from ulfine.training.batches import PREDICT_BATCH, PictureViews
from ulfine.training.predict import predict
from ulfine.training.run import classifier_of

Logits = dict[str, np.ndarray]  # (N, K) by classifier


@dataclass(frozen=True)
class Trained:
    """A run that takes pictures."""

    classes: list[str]
    resolution: int  # side of the pictures that it takes, in pixels
    resize: Resize  # how pictures of another shape become square
    decides: str  # the classifier whose class is the prediction
    classify: Callable[[Iterator[np.ndarray]], Logits]  # batches of (B, side, side, 3) uint8

    def logits(self, files: Iterable[Path | str]) -> Logits:
        """Logits of picture files, in batches as the run had them: so they are the same, bit for bit.

        Raises:
            ValueError: a file cannot be read; the message has its name and the reason.
        """
        pictures = (read(path, self.resolution, self.resize) for path in files)
        return self.classify(map(np.stack, _batches(pictures)))


def load_run(folder: Path, device: str) -> Trained:
    """Load a run below artifacts/runs/, and what it stands on from the folders beside.

    Raises:
        ValueError, OSError: as `find_run` says.
    """
    run = find_run(folder)
    where = run.prepare(device)
    return Trained(
        classes=run.store.classes,
        resolution=run.store.meta["resolution"],
        resize=run.resize,
        decides=run.decides,
        classify=_zero_shot(run, where) if run.config.train is None else _trained(run, where),
    )


def pictures(paths: Iterable[Path]) -> list[str]:
    """The picture files among `paths`, and in those that are folders, at any depth, in the order of their names.

    Raises:
        ValueError: a path is not there, or a folder holds none.
    """
    found: list[Iterable[str]] = []
    for path in paths:
        if path.is_dir():
            files = Scan(path).pictures(path)
            found.append(f"{files.folder}/{name}" for name in files.names)
        elif path.is_file():
            found.append([str(path)])
        else:
            raise ValueError(f"{path}: no such file or folder")
    return list(chain.from_iterable(found))


def _zero_shot(run: Run, device: torch.device) -> Callable[[Iterator[np.ndarray]], Logits]:
    import ulfine.models.lean  # noqa: F401 (before open_clip)

    from ulfine.models.backbone import load_frozen_tower

    tower = load_frozen_tower(run.at.backbone, run.config.backbone).to(device)
    classifier = classifier_of(run.inputs("joint"), run.config.method.rival)

    @torch.inference_mode()
    def classify(batches: Iterator[np.ndarray]) -> Logits:
        joint = [tower.joint(tower.pooled(torch.from_numpy(batch).to(device))).cpu().numpy() for batch in batches]
        return {"text": classifier(np.concatenate(joint))}

    return classify


def _trained(run: Run, device: torch.device) -> Callable[[Iterator[np.ndarray]], Logits]:
    learner, config = load_learner(run, device), run.config

    def classify(batches: Iterator[np.ndarray]) -> Logits:
        found: dict[str, list[np.ndarray]] = {}
        for batch in batches:
            views = PictureViews(Store({"test": batch}, {}, {}), config.augmentation, device, learner.encoder.enlarge)
            every = np.arange(len(batch))
            logits = predict(learner, views, "test", every, config.train.test_crops, learner.all_logits)
            for name, values in logits.items():
                found.setdefault(name, []).append(values)
        return {name: np.concatenate(parts) for name, parts in found.items()}

    return classify


def _batches(found: Iterator[np.ndarray]) -> Iterator[list[np.ndarray]]:
    while batch := list(islice(found, PREDICT_BATCH)):
        yield batch
