"""Decoding a picture file of any supported kind into a square array of bytes."""

import os
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from ulfine.data.store import Broken
from ulfine.errors import machine_failed, printable
from ulfine.files import located
from ulfine.params.dataset import FolderSource, ImageNetSource, Resize, TorchvisionSource

# Formats whose decoders start no other program (EPS starts Ghostscript), and their suffixes. MPO opens as JPEG.
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM")
SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".gif"),
    *(".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm"),
)
EIGHT_BITS = frozenset(("1", "L", "P", "RGB", "RGBX", "CMYK", "YCbCr", "LA", "PA", "RGBA", "RGBa"))
SIXTEEN_BITS = frozenset(("I", "I;16", "I;16L", "I;16B", "I;16N"))
# PNG layouts that Pillow converts to another bit depth without converting the transparent colour.
RESCALED = ("L;2", "L;4", "I;16B", "RGB;16B")
UPRIGHT = {  # by EXIF orientation; PIL.ImageOps.exif_transpose rewrites the EXIF and fails if it is damaged
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class UnreadableError(ValueError):
    """A file that is not one readable picture."""

    def __init__(self, path: str | Path, reason: str) -> None:
        super().__init__(f"{path}: not a readable picture ({reason})")
        self.reason = reason


def square(picture: Image.Image, resolution: int, resize: Resize = "shortest") -> np.ndarray:
    """Convert to RGB, cut out the central square or squash, and resize: (resolution, resolution, 3) uint8.

    Raises:
        ValueError: the picture has neither 8 bits per channel nor 16 bits of grey.
    """
    side = min(picture.size)
    if max(picture.size) > side and resize == "shortest":  # crop first: the following steps make copies
        left, top = (picture.width - side) // 2, (picture.height - side) // 2
        picture = picture.crop((left, top, left + side, top + side))
    picture = _rgb(picture)
    if picture.size != (resolution, resolution):
        picture = picture.resize((resolution, resolution), Image.Resampling.BICUBIC)
    return np.asarray(picture)


def _rgb(picture: Image.Image) -> Image.Image:
    """Convert to 8-bit RGB: transparent pixels are pasted on white, 16-bit grey loses its low byte."""
    if picture.mode in SIXTEEN_BITS:
        return _high_byte(picture).convert("RGB")
    if picture.mode not in EIGHT_BITS:
        raise ValueError(f"its mode is {picture.mode}; 8 bits, or grey of 16 bits, can be read")
    if picture.has_transparency_data:
        picture = picture if picture.mode == "RGBA" else picture.convert("RGBA")
        white = Image.new("RGB", picture.size, "white")
        white.paste(picture, mask=picture)
        return white
    return picture if picture.mode == "RGB" else picture.convert("RGB")


def _high_byte(picture: Image.Image) -> Image.Image:
    """Drop the low byte of 16-bit grey; Pillow's own conversion clips at 255 instead."""
    pixels = np.asarray(picture)
    if pixels.min() < 0 or pixels.max() > 65535:  # mode I has 32 bits, of which PPM uses 16
        raise ValueError(f"its values go from {pixels.min()} to {pixels.max()}, beyond 16 bits")
    return Image.fromarray((pixels >> 8).astype(np.uint8))


def read(path: str | Path, resolution: int, resize: Resize = "shortest") -> np.ndarray:
    """Read a picture file, turn it upright, and return it as `square` does.

    More pixels than `PIL.Image.MAX_IMAGE_PIXELS` and several frames or pages are refused from the header, before
    anything is decoded. The first picture of an MPO file is the photo, and is read.

    Raises:
        UnreadableError: the file is damaged, of another format, or refused; the message has its path and the reason.
        ValueError: the machine is to blame, not the file: no permission, a failing disk, or too little memory.
    """
    try:
        with _opened(path) as picture:
            rescaled = any(tile[3] in RESCALED for tile in picture.tile)  # Pillow forgets this when it decodes
            upright = _upright(picture)
            if rescaled and "transparency" in upright.info:  # only known now: PNG may store it after the pixels
                raise ValueError("a transparent colour of other than 8 bits")
            return square(upright, resolution, resize)
    except UnidentifiedImageError:
        reason = f"none of {', '.join(FORMATS)}"
    except Exception as error:  # for damaged files Pillow raises SyntaxError, struct.error, IndexError, zlib.error, …
        failure = _machine_failure(error)
        if failure:
            raise ValueError(f"{printable(str(path))}: cannot be read ({failure})") from None
        reason = str(error) or type(error).__name__
    raise UnreadableError(printable(str(path)), printable(" ".join(reason.split())))


def _machine_failure(error: Exception) -> str | None:
    """Return what failed in the machine; None if the file is to blame."""
    if not machine_failed(error):
        return None
    return error.strerror if isinstance(error, OSError) else "not enough memory"


@contextmanager
def _opened(path: str | Path) -> Iterator[Image.Image]:
    """Open a picture, or refuse it, without Pillow's warnings.

    Pillow only warns of large pictures up to twice its limit, and of damaged EXIF. It gets an open file because, given
    a name, it maps rotated TIFF into memory with height and width exchanged.
    """
    with warnings.catch_warnings(), Path(path).open("rb") as file:
        warnings.simplefilter("ignore")
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            opened = Image.open(file, formats=FORMATS)
        finally:
            Image.MAX_IMAGE_PIXELS = limit
        with opened as picture:
            if limit is not None and picture.width * picture.height > limit:
                raise ValueError(f"{picture.width} x {picture.height} pixels, more than {limit}")
            frames = 1 if picture.format == "MPO" else getattr(picture, "n_frames", 1)
            if frames > 1:
                raise ValueError(f"{frames} frames, not one picture")
            yield picture


def _upright(picture: Image.Image) -> Image.Image:
    picture.load()  # TIFF is rotated here; PNG may store EXIF after the pixels
    try:
        turn = UPRIGHT.get(picture.getexif().get(ExifTags.Base.Orientation))
    except Exception as error:
        if _machine_failure(error):
            raise
        return picture  # damaged EXIF, sound pixels
    return picture if turn is None else picture.transpose(turn)


def read_all(
    paths: Iterable[str], source: FolderSource | TorchvisionSource | ImageNetSource, resolution: int
) -> Iterator[np.ndarray | Broken]:
    """Read picture files of `source` one at a time; yield `Broken` for those that cannot be read.

    Raises:
        ValueError: the machine is to blame.
    """
    for path in paths:
        try:
            picture = read(path, resolution, source.resize)
        except UnreadableError as error:
            picture = Broken(printable(_inside(path, source)), error.reason, str(error))
        yield picture


def _inside(path: str, source: FolderSource | TorchvisionSource | ImageNetSource) -> str:
    """Return a path relative to the source's folder, or as `~/…` below such an `unlabeled`, lest it name a user."""
    elsewhere = source.unlabeled if isinstance(source, FolderSource) else None
    if elsewhere is not None and elsewhere.startswith("~"):
        folder = f"{located(elsewhere)}/"
        if path.startswith(folder):
            return f"{elsewhere}/{path.removeprefix(folder)}"
    return os.path.relpath(path, located(source.path))
