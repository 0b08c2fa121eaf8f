"""Cut `fashion-mnist-mini.npz` from the four IDX files of Fashion-MNIST.

    apt-get install dataset-fashion-mnist
    python assets/make_fashion_mnist_mini.py /usr/share/datasets/fashion-mnist

The first TRAIN and TEST pictures of every class, in the order of the files: the same bytes come out on every run.
"""

import argparse
import gzip
from pathlib import Path

import numpy as np

TRAIN, TEST = 500, 250  # pictures per class; the splits take 50 labeled, 400 unlabeled and 50 for validation of a class
CLASSES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")


def read_idx(path: Path) -> np.ndarray:
    """A gzipped IDX file of unsigned bytes: (N,) labels or (N, 28, 28) pictures."""
    content = gzip.decompress(path.read_bytes())
    axes = content[3]
    shape = np.frombuffer(content, ">u4", count=axes, offset=4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * axes).reshape(shape)


def cut(folder: Path, part: str, per_class: int) -> tuple[np.ndarray, np.ndarray]:
    """The first `per_class` pictures of every class of one part, class by class: (N, 28, 28) and their labels."""
    pictures = read_idx(folder / f"{part}-images-idx3-ubyte.gz")
    labels = read_idx(folder / f"{part}-labels-idx1-ubyte.gz")
    chosen = np.concatenate([np.flatnonzero(labels == k)[:per_class] for k in range(len(CLASSES))])
    return pictures[chosen], labels[chosen]


def main() -> None:
    """Read the folder named on the command line, write the archive beside this script."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder with the four .gz files")
    folder = parser.parse_args().folder
    train_images, train_labels = cut(folder, "train", TRAIN)
    test_images, test_labels = cut(folder, "t10k", TEST)
    target = Path(__file__).with_name("fashion-mnist-mini.npz")
    np.savez_compressed(
        target,
        train_images=train_images,
        train_labels=train_labels,
        test_images=test_images,
        test_labels=test_labels,
        classes=np.array(CLASSES),
    )
    print(f"{target.name}: {len(train_labels):,} + {len(test_labels):,} pictures, {target.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
