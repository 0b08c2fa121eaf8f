"""What a run says of new pictures, as rows of CSV or as JSON."""

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ulfine.evaluation.metrics import softmax
from ulfine.files import json_text, write_text
from ulfine.runner.trained import Trained, load_run, pictures

KINDS = (".csv", ".json")


def print_predictions(run: Path, images: list[Path], top: int, device: str, out: Path | None) -> None:
    """Classify pictures by a run, and print the rows, or write them to a file of the kind that its name says.

    Raises:
        ValueError: the file would be of another kind; or as `load_run` and `pictures` say.
    """
    if out is not None and out.suffix not in KINDS:
        raise ValueError(f"--out {out}: allowed are names that end in {' or '.join(KINDS)}")
    files = pictures(images)
    trained = load_run(run, device)
    found = list(predictions(trained, files, top))
    text = json_text(found) if out is not None and out.suffix == ".json" else as_csv(found)
    if out is None:
        print(text, end="")
    else:
        write_text(out, text)


def predictions(trained: Trained, files: Sequence[str], top: int) -> Iterator[dict[str, Any]]:
    """For each picture the `top` classes by the classifier that decides, and the class that each classifier gives."""
    logits = trained.logits(files)
    shares = {name: softmax(values) for name, values in logits.items()}
    order = np.argsort(-logits[trained.decides], axis=1, kind="stable")[:, :top]
    for number, file in enumerate(files):

        def said(name: str, k: int, number: int = number) -> dict[str, Any]:
            return {"class": trained.classes[k], "confidence": round(float(shares[name][number, k]), 6)}

        yield {
            "picture": file,
            "top": [said(trained.decides, int(k)) for k in order[number]],
            "classifiers": {name: said(name, int(values[number].argmax())) for name, values in logits.items()},
        }


def as_csv(found: Sequence[dict[str, Any]]) -> str:
    """A row for each picture: its classes from the first on, then what each classifier says, each with confidence."""
    text = io.StringIO()
    for row in found:
        flat = {"picture": row["picture"]}
        for rank, each in enumerate(row["top"], 1):
            flat |= {f"class_{rank}": each["class"], f"confidence_{rank}": each["confidence"]}
        for name, each in row["classifiers"].items():
            flat |= {name: each["class"], f"{name}_confidence": each["confidence"]}
        writer = csv.DictWriter(text, list(flat), lineterminator="\n")
        if not text.tell():
            writer.writeheader()
        writer.writerow(flat)
    return text.getvalue()
