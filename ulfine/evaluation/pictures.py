"""Pictures of a split, as one picture a class for a page."""

import io
from base64 import b64encode
from dataclasses import dataclass

import numpy as np
from PIL import Image

from ulfine.data.store import Store

CLASSES = 12  # shown at most, of evenly spaced ranks
SIDE = 64  # pixels of a picture on the page, at most
GAP = 2


@dataclass(frozen=True)
class Shown:
    """Some pictures of a class, in a row."""

    name: str
    counts: dict[str, int | None]  # labeled, unlabeled and validation pictures, None where unknown
    png: str  # a data address


def shown(store: Store, split: dict, pictures: int) -> list[Shown]:
    """Rows of labeled pictures, head first; none where `pictures` is 0.

    split: a file of artifacts/splits/.
    """
    order = split["class_order"]
    ranks = np.unique(np.linspace(0, len(order) - 1, min(CLASSES, len(order))).astype(int)) if pictures else []
    labeled = np.array(split["indices"]["labeled"])
    labels = store.labels["train"][labeled]
    found = []
    for k in (order[rank] for rank in ranks):
        counts = {name: numbers and numbers[k] for name, numbers in split["counts"].items()}
        chosen = labeled[labels == k][:pictures]
        found.append(Shown(store.classes[k], counts, _row([store.images["train"][each] for each in chosen])))
    return found


def _row(pictures: list[np.ndarray]) -> str:
    side = min(SIDE, pictures[0].shape[0])
    row = Image.new("RGB", (len(pictures) * (side + GAP) - GAP, side), "white")
    for number, picture in enumerate(pictures):
        row.paste(Image.fromarray(picture).resize((side, side), Image.Resampling.LANCZOS), (number * (side + GAP), 0))
    content = io.BytesIO()
    row.save(content, "PNG", optimize=True)
    return f"data:image/png;base64,{b64encode(content.getvalue()).decode()}"
