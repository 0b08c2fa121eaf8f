"""Damaged and hostile picture files: the data stage names them and leaves no store, or skips and lists them."""

import copy
import io
import json
import shutil
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.helpers import project
from tests.helpers.project import ROOT
from tests.hostile.conftest import use


def encoded(kind: str, mode: str = "RGB", size: tuple[int, int] = (40, 30), **options) -> bytes:
    """Return noise, so that cutting the file hits the pixels."""
    bands = Image.new(mode, (1, 1)).getbands()
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], len(bands)), np.uint8)
    file = io.BytesIO()
    Image.frombytes(mode, size, pixels.tobytes()).save(file, kind, **options)
    return file.getvalue()


def chunk(name: bytes, content: bytes, crc: int | None = None) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", crc or zlib.crc32(name + content))


def png(width: int, height: int, depth: int = 8, colour: int = 2, *more: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(more) + chunk(b"IEND", b"")


def tiff(*entries: tuple[int, int, int, int], following: int = 0) -> bytes:
    """Return a little-endian TIFF with one directory of (tag, type, count, value)."""
    directory = b"".join(struct.pack("<HHII", *entry) for entry in sorted(entries))
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + directory + struct.pack("<I", following)


def frames(kind: str) -> bytes:
    return encoded(
        kind, save_all=True, append_images=[Image.new("RGB", (40, 30), colour) for colour in ("red", "blue")]
    )


def numbers(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "TIFF")
    return file.getvalue()


def bmp(width: int, height: int, bits: int = 24) -> bytes:
    return (
        b"BM"
        + struct.pack("<IHHI", 54, 0, 0, 54)
        + struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, 0, 0, 0, 0, 0, 0)
    )


NONE = "none of JPEG, PNG, GIF, BMP, WEBP, TIFF, PPM"
LARGE = "pixels, more than 89478485"
JPEG, PNG = encoded("JPEG"), encoded("PNG")

FILES = {
    "nothing": (b"", NONE),
    "zeros": (bytes(4096), NONE),
    "text": (b"a cat", NONE),
    "a page": (b"<!DOCTYPE html><html>404 not found</html>", NONE),
    "a drawing": (b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>', NONE),
    "a program": (b"\x7fELF\x02\x01\x01" + bytes(64), NONE),
    "an archive": (b"PK\x03\x04" + bytes(64), NONE),
    "a pickle": (b"\x80\x04\x95\x1d\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x8c\x06system\x93.", NONE),
    "PostScript, which would be run": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", NONE),
    "PDF": (b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n", NONE),
    "Photoshop": (b"8BPS\0\1" + bytes(30), NONE),
    "an icon": (encoded("ICO", size=(16, 16)), NONE),
    "TGA": (encoded("TGA"), NONE),
    "PCX": (encoded("PCX"), NONE),
    "JPEG 2000": (b"\x00\x00\x00\x0cjP  \r\n\x87\n" + bytes(64), NONE),
    "half a signature": (PNG[:5], NONE),
    "PNG, its signature": (PNG[:8], NONE),
    "PNG, cut in the header": (PNG[:20], "Truncated File Read"),
    "PNG, cut in the pixels": (PNG[:-600], "image file is truncated"),
    "PNG, cut before its end": (PNG[: len(PNG) // 2], "image file is truncated"),
    "PNG, transferred as text": (PNG.replace(b"\r\n", b"\n"), NONE),
    "PNG, a wrong checksum": (
        PNG.replace(PNG[29:33], b"\0\0\0\1", 1),
        NONE,
    ),
    "PNG, no pixels": (png(9, 9), "cannot load this image"),
    "PNG, pixels that are no zlib": (
        png(9, 9, 8, 2, chunk(b"IDAT", b"not zlib")),
        "broken data stream when reading image file",
    ),
    "PNG, 0 x 9": (png(0, 9, 8, 2, chunk(b"IDAT", zlib.compress(b""))), NONE),
    "PNG, a bit depth that is none": (png(9, 9, 3, 2), NONE),
    "PNG, 100,000 x 100,000": (png(100_000, 100_000), f"100000 x 100000 {LARGE}"),
    "PNG, 4,294,967,295 wide": (png(2**32 - 1, 1), f"4294967295 x 1 {LARGE}"),
    "PNG, one pixel too many": (png(89_478_486, 1), f"89478486 x 1 {LARGE}"),
    "PNG, a bomb in its text": (
        png(
            9,
            9,
            8,
            2,
            chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(80 << 20))),
            chunk(b"IDAT", zlib.compress(bytes(252))),
        ),
        "Decompressed data too large",
    ),
    "PNG, a palette of 999": (png(9, 9, 8, 3, chunk(b"IDAT", zlib.compress(bytes(90)))), "AssertionError"),
    "JPEG, its first marker": (b"\xff\xd8\xff", NONE),
    "JPEG, cut in the tables": (JPEG[:300], "Truncated File Read"),
    "JPEG, cut in the pixels": (JPEG[: len(JPEG) - 400], "image file is truncated"),
    "JPEG, 65,500 x 65,500": (
        JPEG.replace(struct.pack(">HH", 30, 40), struct.pack(">HH", 65_500, 65_500), 1),
        f"65500 x 65500 {LARGE}",
    ),
    "JPEG, 0 x 0": (JPEG.replace(struct.pack(">HH", 30, 40), bytes(4), 1), NONE),
    "GIF, its signature": (b"GIF89a", NONE),
    "GIF, no picture": (b"GIF89a\x09\0\x09\0\0\0\0;", NONE),
    "GIF, cut": (encoded("GIF", "L")[:-500], "image file is truncated"),
    "GIF, three frames": (frames("GIF"), "3 frames, not one picture"),
    "PNG, three frames": (frames("PNG"), "3 frames, not one picture"),
    "WEBP, three frames": (frames("WEBP"), "3 frames, not one picture"),
    "TIFF, three pages": (frames("TIFF"), "3 frames, not one picture"),
    "WEBP, cut": (encoded("WEBP")[:-300], "could not create decoder object"),
    "WEBP, its signature": (b"RIFF\x24\0\0\0WEBPVP8 ", "could not create decoder object"),
    "TIFF, empty": (tiff(), NONE),
    "TIFF, 60,000 x 60,000": (
        tiff(
            (256, 4, 1, 60_000),
            (257, 4, 1, 60_000),
            (258, 3, 1, 8),
            (259, 3, 1, 1),
            (262, 3, 1, 1),
            (273, 4, 1, 8),
            (278, 4, 1, 1),
            (279, 4, 1, 1),
        ),
        f"60000 x 60000 {LARGE}",
    ),
    "TIFF, pixels behind its end": (
        tiff(
            (256, 4, 1, 9),
            (257, 4, 1, 9),
            (258, 3, 1, 8),
            (259, 3, 1, 1),
            (262, 3, 1, 1),
            (273, 4, 1, 9999),
            (279, 4, 1, 81),
        ),
        "image file is truncated",
    ),
    "TIFF, floating point": (
        numbers(np.ones((9, 9), np.float32)),
        "its mode is F; 8 bits, or grey of 16 bits, can be read",
    ),
    "TIFF, 32 bits": (
        numbers(np.full((9, 9), 2**20, np.int32)),
        "its values go from 1048576 to 1048576, beyond 16 bits",
    ),
    "TIFF, below zero": (numbers(np.full((9, 9), -1, np.int32)), "its values go from -1 to -1, beyond 16 bits"),
    "BMP, cut": (encoded("BMP")[:-500], "image file is truncated"),
    "BMP, 2,000,000,000 wide": (bmp(2_000_000_000, 9), f"2000000000 x 9 {LARGE}"),
    "BMP, below zero": (bmp(-9, 9), f"4294967287 x 9 {LARGE}"),
    "BMP, 7 bits": (bmp(9, 9, bits=7), "Unsupported BMP pixel depth (7)"),
    "PPM, cut": (b"P6 40 30 255\n" + bytes(90), "image file is truncated"),
    "PPM, 99,999 x 99,999": (b"P6 99999 99999 255\n", f"99999 x 99999 {LARGE}"),
    "PPM, no size": (b"P6 \n", "Reached EOF while reading header"),
    "PPM, a size of words": (b"P6 wide high 255\n", "invalid literal for int() with base 10: b'wide'"),
    "PPM, a limit of 0": (b"P6 9 9 0\n" + bytes(243), "maxval must be greater than 0"),
    "PPM, letters for numbers": (
        b"P3 2 2 255\n1 2 3 x y z 1 2 3 1 2 3\n",
        "invalid literal for int() with base 10: b'x'",
    ),
}


@pytest.fixture
def bad(here) -> Path:
    """Make two classes of one good picture in each part; return where a test puts a bad one."""
    params = copy.deepcopy(project.PARAMS)
    params["datasets"]["shapes"]["source"]["path"] = "p"
    project.write_params(here, params)
    for name in ("train/ape", "train/bee", "test/ape", "test/bee"):
        (here / "p" / name).mkdir(parents=True)
        (here / "p" / name / "0.png").write_bytes(PNG)
    return here / "p/train/ape/1.png"


def made(stage: str, **names: str) -> str:
    """Run a stage on the current folder in a process limited to 1 GiB; it must succeed. Return what it prints.

    Memory stays small, whatever the header of a picture claims.
    """
    project.configure(Path.cwd(), stage, names)
    arguments = [stage, *project.options(names)]
    script = (
        "import resource, runpy, sys; from ulfine.runner import stage; stage._require_own_package = lambda: None;"
        f"resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30)); sys.argv = {arguments!r};"
        f"runpy.run_path({str(ROOT / 'stages' / stage)!r} + '.py', run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_shortage_from_broken_pictures_is_told_as_such(here, refused):
    """A split needs at least 8 of the 22 pictures of each class, and one class has 6 left."""
    (here / "pictures").rename(here / "link")
    shutil.copytree(here / "link", here / "pictures")
    for path in sorted((here / "pictures/train/red_circle").iterdir())[:16]:
        path.write_bytes(b"no")
    use(here, kind="folder", path="pictures", broken="skip")
    assert "left out 16 that cannot be read (red circle: 16) (artifacts" in made("data", dataset="shapes")
    line = refused("split", dataset="shapes", split="tail", seed=0)
    more = "; 16 more of its pictures cannot be read, and broken: skip left them out"
    assert line.endswith(f"pictures of class 'red circle', which has 6{more}")


@pytest.mark.parametrize("case", FILES)
def test_the_stage_stops_at_a_file_that_is_no_picture(bad, refused, case):
    content, reason = FILES[case]
    bad.write_bytes(content)
    line = refused("data", dataset="shapes")
    assert line.startswith(f"p/train/ape/1.png: not a readable picture ({reason}") and len(line) < 380
    assert line.endswith("; 1 of 5 pictures cannot be read; broken: skip leaves such pictures out")


def test_all_of_them_are_left_out_and_listed_on_request(bad):
    for number, (content, _) in enumerate(FILES.values(), start=1):
        bad.with_name(f"{number:02}.png").write_bytes(content)
    params = copy.deepcopy(project.PARAMS)
    params["datasets"]["shapes"]["source"] |= {"path": "p", "broken": "skip"}
    project.write_params(bad.parents[3], params)
    said = made("data", dataset="shapes")
    assert f"left out {len(FILES)} that cannot be read (ape: {len(FILES)}) (artifacts/data" in said
    meta = json.loads(Path("artifacts/data/shapes/meta.json").read_text())
    assert list(meta["skipped"]) == [f"train/ape/{number:02}.png" for number in range(1, len(FILES) + 1)]
    for (_, reason), said in zip(FILES.values(), meta["skipped"].values(), strict=True):
        assert said.startswith(reason)
    assert meta["counts"] == {"train": [1, 1], "test": [1, 1]}
