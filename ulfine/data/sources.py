"""Where pictures come from: a NumPy archive, a folder of pictures, a data set that is published, or ImageNet."""

from ulfine.data import archive, folders, imagenet, published
from ulfine.data.store import Counts, Loaded
from ulfine.params.dataset import ArraySource, FolderSource, ImageNetSource, Source, TorchvisionSource


def load(source: Source, resolution: int) -> Loaded:
    """Open a source; its pictures are RGB and `resolution` pixels a side.

    Raises:
        ValueError: the source is not what it should be: a hash, a folder, a picture.
        FileNotFoundError: it is not there.
    """
    match source:
        case ArraySource():
            return archive.load(source, resolution)
        case FolderSource():
            return folders.load(source, resolution)
        case TorchvisionSource():
            return published.load(source, resolution)
        case ImageNetSource():
            return imagenet.load(source, resolution)


def class_counts(source: Source) -> Counts | None:
    """Training pictures of each class, and those without a label, found without reading (or downloading) a picture.

    None where only the data stage can tell.
    """
    match source:
        case ArraySource():
            return archive.class_counts(source)
        case FolderSource():
            return folders.class_counts(source)
        case TorchvisionSource():
            return published.class_counts(source)
        case ImageNetSource():
            return imagenet.class_counts(source)
