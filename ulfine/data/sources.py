"""Sources of pictures: a NumPy archive, a folder of pictures, a published data set, or ImageNet."""

from ulfine.data import archive, folders, imagenet, published
from ulfine.data.store import Counts, Loaded
from ulfine.params.dataset import ArraySource, FolderSource, ImageNetSource, Source, TorchvisionSource


def load(source: Source, resolution: int) -> Loaded:
    """Open a source; its pictures are RGB, with sides of `resolution` pixels.

    Raises:
        ValueError: a hash, a folder or a picture is wrong.
        FileNotFoundError: the source does not exist.
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
    """Count the training pictures of each class and the unlabeled ones, without reading or downloading a picture.

    None if only the data stage can tell.
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
