"""Frozen features: every picture once through the image tower, per view; class names through the text tower."""

from itertools import chain, product
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ulfine.arrays import write_tensors
from ulfine.data.augmentation import strong_views, weak_views
from ulfine.data.features import SPACES, TEXT, Filling
from ulfine.data.resident import Rows
from ulfine.data.store import Store
from ulfine.models.backbone import Tokenizer
from ulfine.models.resize import before_augmenting
from ulfine.models.tokens import Sentences, require_other_rows, require_other_tokens
from ulfine.models.tower import ImageTower
from ulfine.params.augmentation import Augmentation
from ulfine.progress import progress
from ulfine.rng import key

BATCH = 64  # pictures; part of the result, since the draws of a batch share a seed
SENTENCES = 100  # in a batch of text
Spaces = tuple[Tensor, Tensor]  # (B, D) pooled and (B, E) joint features


def extract_images(
    folder: Path, store: Store, tower: ImageTower, augmentation: Augmentation, device: torch.device
) -> None:
    """Write `{view}.{space}.npy` for plain, weak, strong and test into `folder`."""
    views, enlarge = augmentation.views, before_augmenting(augmentation, tower.enlarge)
    train, test = (Rows(store.images[part], device) for part in ("train", "test"))
    passes = [
        ("plain", train, 1, lambda images, _: images),
        ("weak", train, views.weak, lambda images, seed: weak_views(enlarge(images), augmentation.weak, seed)),
        ("strong", train, views.strong, lambda images, seed: strong_views(enlarge(images), augmentation, seed)),
        ("test", test, 1, lambda images, _: images),
    ]
    total = sum(len(pictures.values) * times for _, pictures, times, _ in passes)
    with progress(total, "features") as bar:
        for stream, (view, pictures, times, augment) in enumerate(passes):
            many = () if view in ("plain", "test") else (times,)
            count = len(pictures.values)
            widths = [features.shape[1] for features in _forward(tower, pictures.take(np.arange(1)))]
            files = [
                Filling(folder / f"{view}.{space}.npy", (*many, count, width))
                for space, width in zip(SPACES, widths, strict=True)
            ]
            behind: tuple[int, Spaces] | None = None  # computed on the device while this process draws the next
            for number, start in product(range(times), range(0, count, BATCH)):
                rows = np.arange(start, min(start + BATCH, count))
                batch = augment(pictures.take(rows), key(stream, number, start))
                found = number * count + start, _forward(tower, batch)
                _put(files, behind)
                behind = found
                bar.update(len(rows))
            _put(files, behind)
            for file in files:
                file.close()


def _put(files: list[Filling], found: tuple[int, Spaces] | None) -> None:
    if found is not None:
        first, spaces = found
        for file, features in zip(files, spaces, strict=True):
            file.put(first, features.cpu().numpy())


@torch.inference_mode()
def _forward(tower: ImageTower, images: Tensor) -> Spaces:
    pooled = tower.pooled(images)
    return pooled, tower.joint(pooled)


def extract_text(
    folder: Path,
    clip: nn.Module,
    tokenizer: Tokenizer,
    text_map: Tensor | None,
    classes: Sentences,
    imagenet: list[list[str]],
) -> None:
    """Write text.safetensors: unit prototypes and the mean over ImageNet's names, in each space that has them.

    The map takes unit text of the joint space to the pooled image space (LIFT initialises its classifier this way).

    clip: on the device that is to do it. imagenet: sentences of each of open_clip's ImageNet class names.

    Raises:
        ValueError: two classes are the same to the text tower.
    """
    require_other_tokens(tokenizer, classes)
    named, imagenet = (prototypes(clip, tokenizer, said) for said in (list(classes.values()), imagenet))
    require_other_rows(named, list(classes))
    spaces = {"joint": (named, imagenet)}
    if text_map is not None:
        spaces["pooled"] = tuple(nn.functional.normalize(text @ text_map, dim=-1) for text in (named, imagenet))
    bias = clip.logit_bias if clip.logit_bias is not None else torch.zeros(())
    tensors = {"logit_scale": clip.logit_scale.detach().exp(), "logit_bias": bias.detach()}
    for space, (rows, others) in spaces.items():
        tensors |= {f"{space}.prototypes": rows, f"{space}.mean": others.mean(0)}
    write_tensors(folder / TEXT, {name: tensor.cpu().numpy() for name, tensor in tensors.items()})


@torch.inference_mode()
def prototypes(clip: nn.Module, tokenizer: Tokenizer, classes: list[list[str]]) -> Tensor:
    """(K, E) unit mean of the unit embeddings of each class's sentences, as open_clip's zero-shot classifier has it."""
    said = list(chain.from_iterable(classes))
    chunks = [said[start : start + SENTENCES] for start in range(0, len(said), SENTENCES)]
    device = clip.logit_scale.device
    embedded = torch.cat([clip.encode_text(tokenizer(chunk).to(device), normalize=True) for chunk in chunks]).cpu()
    means = torch.stack([part.mean(0) for part in embedded.split([len(part) for part in classes])])
    return means / means.norm(dim=1, keepdim=True)
