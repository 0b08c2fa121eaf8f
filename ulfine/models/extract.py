"""Frozen features: a split's pictures through the image tower, once per view; class names through the text tower."""

from collections.abc import Mapping, Sequence
from itertools import chain, product
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ulfine.arrays import write_array, write_tensors
from ulfine.data.augmentation import strong_views, weak_views
from ulfine.data.features import INDICES, SPACES, TEXT, Filling
from ulfine.data.resident import Rows
from ulfine.data.store import Store
from ulfine.models.backbone import Tokenizer
from ulfine.models.resize import before_augmenting
from ulfine.models.tokens import Sentences, require_other_rows, require_other_tokens, without_padding
from ulfine.models.tower import ImageTower
from ulfine.params.augmentation import Augmentation
from ulfine.progress import progress
from ulfine.rng import key

BATCH = 64  # pictures; part of the result, since the draws of a batch share a seed
BOTH = ("plain", "test")  # views in both spaces, of which a zero-shot classifier has its own
SENTENCES = 100  # in a batch of text


def extract_images(
    folder: Path,
    store: Store,
    tower: ImageTower,
    augmentation: Augmentation,
    pictures: Mapping[str, np.ndarray],
    *,
    space: str,
    seed: int,
    device: torch.device,
) -> None:
    """Write `{view}.{space}.npy` for plain, weak, strong and test, and `{view}.indices.npy`, into `folder`.

    pictures: the training pictures of each view but test. space: of weak and strong views. seed: of their draws.
    """
    times, enlarge = augmentation.views, before_augmenting(augmentation, tower.enlarge)
    parts = {part: Rows(images, device) for part, images in store.images.items()}
    every = {"plain": 1, "weak": times.weak, "strong": times.strong, "test": 1}  # in the order of their streams
    pictures = {**pictures, "test": np.arange(len(store.images["test"]))}

    def view_of(view: str, indices: np.ndarray, seed: int) -> Tensor:
        images = parts["test" if view == "test" else "train"].take(indices)
        match view:
            case "weak":
                return weak_views(enlarge(images), augmentation.weak, seed)
            case "strong":
                return strong_views(enlarge(images), augmentation, seed)
            case _:
                return images

    with progress(sum(len(pictures[view]) * number for view, number in every.items()), "features") as bar:
        for stream, (view, number) in enumerate(every.items()):
            indices, spaces = pictures[view], SPACES if view in BOTH else (space,)
            if view != "test":
                write_array(folder / INDICES.format(view=view), indices)
            many = () if view in BOTH else (number,)
            widths = [found.shape[1] for found in _forward(tower, parts["test"].take(np.arange(1)), spaces)]
            files = [
                Filling(folder / f"{view}.{name}.npy", (*many, len(indices), width))
                for name, width in zip(spaces, widths, strict=True)
            ]
            behind: tuple[int, list[Tensor]] | None = None  # on the device while this process draws the next
            for draw, start in product(range(number), range(0, len(indices), BATCH)):
                chosen = indices[start : start + BATCH]
                batch = view_of(view, chosen, key(seed, stream, draw, start))
                found = draw * len(indices) + start, _forward(tower, batch, spaces)
                _put(files, behind)
                behind = found
                bar.update(len(chosen))
            _put(files, behind)
            for file in files:
                file.close()


def _put(files: list[Filling], found: tuple[int, list[Tensor]] | None) -> None:
    if found is not None:
        first, spaces = found
        for file, features in zip(files, spaces, strict=True):
            file.put(first, features.cpu().numpy())


@torch.inference_mode()
def _forward(tower: ImageTower, images: Tensor, spaces: Sequence[str]) -> list[Tensor]:
    """(B, D) features in each of the spaces."""
    pooled = tower.pooled(images)
    return [pooled if space == "pooled" else tower.joint(pooled) for space in spaces]


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
    tokens = [without_padding(clip, tokenizer(chunk)).to(device) for chunk in chunks]
    embedded = torch.cat([clip.encode_text(chunk, normalize=True) for chunk in tokens]).cpu()
    means = torch.stack([part.mean(0) for part in embedded.split([len(part) for part in classes])])
    return means / means.norm(dim=1, keepdim=True)
