"""Single picture files: which are read and which are refused."""

import errno
import io
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from tests.helpers.pictures import folder_source, random_bytes
from ulfine.data.pictures import FORMATS, UnreadableError, read, read_all, square
from ulfine.data.store import Broken

RAMP = np.arange(64, dtype=np.uint8).reshape(8, 8)


def test_pictures_become_square_rgb_of_the_resolution():
    tall = Image.new("L", (10, 30), 7)
    assert square(tall, 10).shape == (10, 10, 3)
    assert (square(tall, 4) == 7).all()
    coloured = Image.new("RGBA", (5, 5), (10, 20, 30, 255))
    assert square(coloured, 5)[0, 0].tolist() == [10, 20, 30]


@pytest.mark.parametrize("shape", [(9, 14, 3), (15, 8, 3), (11, 6)])
def test_the_crop_is_the_centre_and_the_resize_is_that_of_pillow(shape):
    pixels = random_bytes(*shape)
    top, left = ((length - min(shape[:2])) // 2 for length in shape[:2])
    side = min(shape[:2])
    centre = Image.fromarray(pixels[top : top + side, left : left + side]).convert("RGB")
    assert (square(Image.fromarray(pixels), side) == np.asarray(centre)).all()
    resized = centre.resize((5, 5), Image.Resampling.BICUBIC)
    assert (square(Image.fromarray(pixels), 5) == np.asarray(resized)).all()


@pytest.mark.parametrize("shape", [(9, 14, 3), (15, 8, 3), (8, 8, 3)])
def test_a_squashed_picture_keeps_its_border(shape):
    pixels = random_bytes(*shape)
    expected = Image.fromarray(pixels).resize((8, 8), Image.Resampling.BICUBIC)
    assert (square(Image.fromarray(pixels), 8, "squash") == np.asarray(expected)).all()


def test_pictures_of_a_source_are_made_square_as_it_says(tmp_path):
    Image.fromarray(random_bytes(9, 14, 3)).save(tmp_path / "a.png")
    for resize in ("shortest", "squash"):
        (found,) = read_all([str(tmp_path / "a.png")], folder_source(tmp_path, resize=resize), 8)
        assert (found == read(tmp_path / "a.png", 8, resize)).all()
    assert (read(tmp_path / "a.png", 8, "squash") != read(tmp_path / "a.png", 8)).any()


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [
        ("1", 1, [255, 255, 255]),
        ("L", 90, [90, 90, 90]),
        ("LA", (90, 255), [90, 90, 90]),
        ("LA", (90, 0), [255, 255, 255]),
        ("RGBA", (10, 20, 30, 0), [255, 255, 255]),
        ("RGBA", (0, 100, 200, 51), [204, 224, 244]),  # a fifth of the colour, four of white
        ("CMYK", (255, 0, 0, 0), [0, 255, 255]),
        ("I;16", 0x1234, [0x12] * 3),
        ("I", 0xFFFF, [255] * 3),
    ],
)
def test_every_kind_of_pixel_becomes_rgb_on_white(tmp_path, mode, colour, expected):
    Image.new(mode, (8, 8), colour).save(tmp_path / "a.tif")
    assert read(tmp_path / "a.tif", 8)[3, 4].tolist() == expected


def test_a_transparent_entry_of_a_palette_is_white(tmp_path):
    picture = Image.fromarray(RAMP).convert("P")
    picture.putpalette([200, 0, 0] * 256)
    picture.save(tmp_path / "a.png", transparency=9)
    found = read(tmp_path / "a.png", 8)
    assert found[1, 1].tolist() == [255, 255, 255] and found[1, 2].tolist() == [200, 0, 0]


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm"])
def test_grey_of_16_bits_loses_its_low_byte(tmp_path, suffix):
    values = np.arange(64, dtype=np.uint16).reshape(8, 8) * 1024 + 255
    Image.fromarray(values).save(tmp_path / f"a.{suffix}")
    assert (read(tmp_path / f"a.{suffix}", 8)[:, :, 0] == values >> 8).all()


def test_big_endian_grey_of_16_bits(tmp_path):
    values = (np.arange(64).reshape(8, 8) * 1024).astype(">u2")
    Image.frombytes("I;16B", (8, 8), values.tobytes()).save(tmp_path / "a.tif")
    assert (read(tmp_path / "a.tif", 8)[:, :, 1] == values >> 8).all()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "tif"])
def test_a_turned_picture_is_set_upright(tmp_path, orientation, suffix):
    """Pixels are those that a viewer shows: orientation 6 means that the first row is the right-hand side."""
    wide = np.repeat(np.repeat(RAMP[:2, :3] * 20, 8, axis=0), 8, axis=1)  # blocks of 8 that JPEG keeps
    exif = Image.Exif()
    exif[0x112] = orientation
    Image.fromarray(wide).save(tmp_path / f"a.{suffix}", exif=exif, **({"quality": 100} if suffix == "jpg" else {}))
    shown = {
        1: wide,
        2: wide[:, ::-1],
        3: wide[::-1, ::-1],
        4: wide[::-1],
        5: wide.T,
        6: wide[::-1].T,
        7: wide[::-1, ::-1].T,
        8: wide[:, ::-1].T,
    }[orientation]
    assert (read(tmp_path / f"a.{suffix}", 16) == square(Image.fromarray(np.ascontiguousarray(shown)), 16)).all()


def test_a_sound_picture_with_damaged_exif_is_read_in_silence(tmp_path):
    Image.fromarray(RAMP).save(tmp_path / "a.png", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff nonsense")
    Image.fromarray(RAMP).save(tmp_path / "b.png", exif=b"nonsense")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert all((read(tmp_path / name, 8)[:, :, 0] == RAMP).all() for name in ("a.png", "b.png"))


def save_frames(path, **options) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "green", "blue")]
    frames[0].save(path, save_all=True, append_images=frames[1:], **options)


@pytest.mark.parametrize("suffix", ["gif", "png", "webp", "tif"])
def test_several_frames_or_pages_are_refused_with_their_number(tmp_path, suffix):
    save_frames(tmp_path / f"a.{suffix}")
    with pytest.raises(UnreadableError, match=rf"a\.{suffix}: not a readable picture \(3 frames, not one picture\)"):
        read(tmp_path / f"a.{suffix}", 8)


def test_the_first_picture_of_an_mpo_is_the_photo(tmp_path):
    save_frames(tmp_path / "a.mpo")
    assert read(tmp_path / "a.mpo", 8)[0, 0, 0] > 250


def test_one_frame_is_a_picture(tmp_path):
    for suffix in ("gif", "webp", "bmp", "ppm"):
        Image.new("RGB", (8, 8), "white").save(tmp_path / f"a.{suffix}")
        assert (read(tmp_path / f"a.{suffix}", 8) > 250).all()


def png(width: int, height: int, depth: int = 8, colour: int = 2, transparent: bytes = b"", rows: bytes = b"") -> bytes:
    """Return a PNG; without rows, only its header."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        crc = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + crc

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    more = chunk(b"tRNS", transparent) if transparent else b""
    return b"\x89PNG\r\n\x1a\n" + header + more + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("depth", "colour", "transparent", "row"),
    [
        (16, 2, (0x1234, 0x5678, 0x9ABC), bytes.fromhex("123456789abc 000000000000")),
        (16, 2, (0, 0, 5), bytes.fromhex("000000000005 000000000500")),  # the other is it, seen in 8 bits
        (16, 0, (0x1234,), bytes.fromhex("1234 0000")),
        (4, 0, (15,), b"\xf0"),
        (2, 0, (3,), b"\xc0"),
    ],
)
def test_a_transparent_colour_that_pillow_takes_for_another_is_refused(tmp_path, depth, colour, transparent, row):
    """Return two pixels, the first transparent."""
    packed = struct.pack(f">{len(transparent)}H", *transparent)
    (tmp_path / "a.png").write_bytes(png(2, 1, depth, colour, packed, b"\0" + row))
    with pytest.raises(UnreadableError, match=r"a\.png: .* \(a transparent colour of other than 8 bits\)"):
        read(tmp_path / "a.png", 1)
    (tmp_path / "a.png").write_bytes(png(2, 1, depth, colour, b"", b"\0" + row))
    assert read(tmp_path / "a.png", 1).shape == (1, 1, 3)


@pytest.mark.parametrize(
    ("depth", "colour", "transparent", "row"),
    [(8, 2, (1, 2, 3), b"\1\2\3"), (8, 0, (7,), b"\7"), (1, 0, (1,), b"\x80"), (1, 0, (0,), b"\0")],
)
def test_a_transparent_colour_of_8_bits_is_white(tmp_path, depth, colour, transparent, row):
    packed = struct.pack(f">{len(transparent)}H", *transparent)
    (tmp_path / "a.png").write_bytes(png(1, 1, depth, colour, packed, b"\0" + row))
    assert read(tmp_path / "a.png", 1).tolist() == [[[255, 255, 255]]]


@pytest.mark.parametrize(("width", "height"), [(10000, 10000), (60000, 60000), (1, 2**31 - 1)])
def test_a_huge_picture_is_refused_from_its_header(tmp_path, width, height):
    """Sizes just above Pillow's limit, where it only warns, and beyond twice the limit."""
    (tmp_path / "a.png").write_bytes(png(width, height))
    limit = Image.MAX_IMAGE_PIXELS
    with pytest.raises(UnreadableError, match=rf"a\.png: .* \({width} x {height} pixels, more than {limit}\)"):
        read(tmp_path / "a.png", 8)
    assert limit == Image.MAX_IMAGE_PIXELS < 10000 * 10000


def test_a_sliver_is_cut_to_a_pixel(tmp_path):
    Image.new("L", (1, 50000), 77).save(tmp_path / "a.png")
    assert (read(tmp_path / "a.png", 8) == 77).all()


@pytest.mark.parametrize(
    ("mode", "suffix", "reason"),
    [("F", "tif", "its mode is F; 8 bits, or grey of 16 bits, can be read"), ("LAB", "tif", "its mode is LAB")],
)
def test_other_kinds_of_pixels_are_refused_by_name(tmp_path, mode, suffix, reason):
    picture = Image.new("RGB", (8, 8), "red")
    if mode == "LAB":
        profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        picture = ImageCms.profileToProfile(picture, *profiles, outputMode="LAB")
    picture.convert(mode).save(tmp_path / f"a.{suffix}")
    with pytest.raises(UnreadableError, match=reason):
        read(tmp_path / f"a.{suffix}", 8)


@pytest.mark.parametrize(("values", "reason"), [((-1, 5), "go from -1 to 5"), ((0, 65536), "go from 0 to 65536")])
def test_more_than_16_bits_are_refused(tmp_path, values, reason):
    Image.fromarray(np.array([values] * 2, np.int32)).save(tmp_path / "a.tif")
    with pytest.raises(UnreadableError, match=reason):
        read(tmp_path / "a.tif", 8)


@pytest.mark.parametrize("content", [b"", b"no", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", png(0, 8)])
def test_what_is_no_picture_is_refused_by_name(tmp_path, content):
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(UnreadableError, match=r"a\.png: not a readable picture \(none of JPEG, PNG, GIF, BMP, WEBP"):
        read(tmp_path / "a.png", 8)


def test_a_missing_file_is_named_once(tmp_path):
    with pytest.raises(ValueError) as caught:
        read(tmp_path / "a\nb.png", 8)
    assert str(caught.value) == f"{str(tmp_path / 'a') + chr(10) + 'b.png'!a}: cannot be read " + (
        "(No such file or directory)"
    )


class Failing(io.FileIO):
    """A disk on which only the first kilobyte of a file is readable."""

    error: Exception

    def readinto(self, buffer) -> int:
        if self.tell() >= 1000:
            raise self.error
        return super().readinto(memoryview(buffer)[:1000])


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.EIO, "Input/output error"), "Input/output error"),
        (OSError(errno.ESTALE, "Stale file handle"), "Stale file handle"),
        (MemoryError(), "not enough memory"),
    ],
)
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "JPEG"])
@pytest.mark.parametrize("broken", ["stop", "skip"])
def test_a_machine_that_fails_stops_the_reading(tmp_path, monkeypatch, error, said, kind, broken):
    (tmp_path / "0.png").write_bytes(b"no picture")
    Image.fromarray(random_bytes(40, 40, 3)).save(tmp_path / "1.png", kind)
    source = folder_source(tmp_path, broken=broken)
    found = read_all([str(tmp_path / f"{number}.png") for number in (0, 1)], source, 8)
    reason = f"none of {', '.join(FORMATS)}"
    assert next(found) == Broken("0.png", reason, f"{tmp_path}/0.png: not a readable picture ({reason})")
    monkeypatch.setattr(Failing, "error", error, raising=False)
    monkeypatch.setattr(Path, "open", lambda path, _: io.BufferedReader(Failing(path), 512))
    with pytest.raises(ValueError) as caught:
        next(found)
    assert str(caught.value) == f"{tmp_path}/1.png: cannot be read ({said})"


def test_a_machine_that_has_no_file_to_spare_stops_the_reading(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(ValueError, match=r"a\.png: cannot be read \(Too many open files\)"):
        next(read_all([str(tmp_path / "a.png")], folder_source(tmp_path, broken="skip"), 8))


def test_a_file_that_points_where_no_file_goes_is_damaged(tmp_path):
    """A BigTIFF whose first directory is at 2 ** 62, for which the system gives its own error."""
    (tmp_path / "a.tif").write_bytes(struct.pack("<2sHHHQ", b"II", 43, 8, 0, 2**62))
    with pytest.raises(UnreadableError, match=r"a\.tif: not a readable picture \("):
        read(tmp_path / "a.tif", 8)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM"])
def test_a_damaged_file_gives_a_picture_or_one_line(tmp_path, kind):
    """Every prefix of a file, and a few hundred files with overwritten bytes, raise nothing but UnreadableError."""
    buffer = io.BytesIO()
    Image.fromarray(random_bytes(9, 7, 3)).save(buffer, kind, **({"compression": "tiff_lzw"} if kind == "TIFF" else {}))
    whole, rng, refused = buffer.getvalue(), np.random.default_rng(0), 0
    cut = [whole[:length] for length in range(0, len(whole), max(1, len(whole) // 60))]
    spoilt = [bytearray(whole) for _ in range(200)]
    for content in spoilt:
        for place in rng.integers(0, len(whole), 4):
            content[place] = rng.integers(0, 256)
    path = tmp_path / "a.png"
    for content in [*cut, *spoilt]:
        path.write_bytes(content)
        try:
            assert read(path, 8).shape == (8, 8, 3)
        except UnreadableError as error:
            refused += 1
            assert "\n" not in str(error) and str(error).startswith(f"{path}: not a readable picture (")
    assert refused > 30
