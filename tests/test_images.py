"""Every odd or broken image file: read rightly, or refused in one clear line."""

from __future__ import annotations

import io
import logging
import os
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from PIL import Image

from zfcore.data import images
from zfcore.data.images import BEHIND_ALPHA, ImageError, list_images, read_image
from zfcore.errors import ZfcoreError


@pytest.fixture
def pixels() -> np.ndarray:
    """Noise, so that no row or column equals another."""
    return np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)


@contextmanager
def silence() -> Iterator[None]:
    """Fails if a warning was shown."""
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        yield
    assert not shown, [str(warning.message) for warning in shown]


def refusal(path) -> str:
    """The reason for which `read_image` refuses `path`, in one line and without a warning."""
    with silence(), pytest.raises(ImageError) as caught:
        read_image(path)
    message = str(caught.value)
    assert isinstance(caught.value, ZfcoreError) and message == f"{path}: {caught.value.reason}"
    assert message.isprintable()  # so it has no line break
    return caught.value.reason


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tif", "a.ppm", "a.PNG", "wrongly_called.jpg"])
def test_rgb_comes_back_exactly(tmp_path, pixels, name):
    kind = "PNG" if "wrongly" in name else None
    Image.fromarray(pixels).save(tmp_path / name, format=kind)
    got = read_image(tmp_path / name)
    assert got.dtype == np.uint8 and got.flags.writeable
    np.testing.assert_array_equal(got, pixels)
    np.testing.assert_array_equal(read_image(str(tmp_path / name)), pixels)


def test_jpeg_is_close(tmp_path):
    Image.new("RGB", (20, 10), (200, 100, 50)).save(tmp_path / "a.jpg", quality=95)
    got = read_image(tmp_path / "a.jpg")
    assert got.shape == (10, 20, 3) and np.abs(got.astype(int) - [200, 100, 50]).max() <= 3


def test_grey_is_repeated(tmp_path, pixels):
    Image.fromarray(pixels[..., 0]).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), np.repeat(pixels[..., :1], 3, axis=2))


def test_black_and_white(tmp_path, pixels):
    bits = pixels[..., 0] > 127
    Image.fromarray(bits).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png")[..., 1], 255 * bits)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_alpha_lies_over_mid_grey(tmp_path, mode):
    picture = Image.new("RGBA", (3, 1), (255, 255, 255, 255))
    picture.putpixel((1, 0), (255, 255, 255, 0))
    picture.putpixel((2, 0), (255, 255, 255, 128))
    picture.convert(mode).save(tmp_path / "a.png")
    opaque, clear, half = read_image(tmp_path / "a.png")[0].astype(int)
    assert opaque.tolist() == [255] * 3 and clear.tolist() == list(BEHIND_ALPHA)
    assert np.abs(half - (255 + 128) / 2).max() <= 1


def test_palette(tmp_path, pixels):
    picture = Image.fromarray(pixels).quantize(8)
    picture.save(tmp_path / "a.png")
    picture.save(tmp_path / "a.gif")
    for name in ("a.png", "a.gif"):
        np.testing.assert_array_equal(read_image(tmp_path / name), np.asarray(picture.convert("RGB")))


def test_palette_with_transparency(tmp_path):
    picture = Image.new("P", (2, 1))
    picture.putpalette([10, 20, 30, 40, 50, 60])
    picture.putpixel((1, 0), 1)
    picture.save(tmp_path / "a.png", transparency=bytes([255, 0]))
    with silence():
        assert read_image(tmp_path / "a.png").tolist() == [[[10, 20, 30], list(BEHIND_ALPHA)]]


@pytest.mark.parametrize("name", ["a.tif", "a.jpg"])
def test_cmyk(tmp_path, name):
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(tmp_path / name)
    got = read_image(tmp_path / name).astype(int)
    assert np.abs(got - [255, 0, 0]).max() <= 4


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.pgm"])
def test_sixteen_bits_are_scaled_not_clipped(tmp_path, name):
    levels = np.array([[0, 257, 1000, 32896, 65535]], np.uint16)
    Image.fromarray(levels).save(tmp_path / name)
    assert read_image(tmp_path / name)[..., 0].tolist() == [[0, 1, 4, 128, 255]]


@pytest.mark.parametrize("value", [np.int32(70000), np.int32(-1), np.float32(0.5)])
def test_deeper_grey_is_refused(tmp_path, value):
    Image.fromarray(np.array([[value]])).save(tmp_path / "a.tif")
    assert "convert it to 8 or 16 bits" in refusal(tmp_path / "a.tif")


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_applied(tmp_path, pixels, name, orientation):
    upright = pixels
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright),  # a camera turned right stores the scene turned left
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if name.endswith("webp") else {}
    Image.fromarray(np.ascontiguousarray(stored)).save(tmp_path / name, exif=exif, **options)
    np.testing.assert_array_equal(read_image(tmp_path / name), upright)


@pytest.mark.parametrize("exif", [b"Exif\0\0garbage", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0"])
def test_broken_exif_does_not_lose_the_picture(tmp_path, exif):
    Image.new("RGB", (4, 2)).save(tmp_path / "a.jpg", exif=exif)
    with silence():
        assert read_image(tmp_path / "a.jpg").shape == (2, 4, 3)


def test_an_absurd_orientation_is_ignored(tmp_path, pixels):
    exif = Image.Exif()
    exif[0x0112] = 77
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), pixels)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "RGB", "RGBA", "P", "I;16"])
def test_one_pixel(tmp_path, mode):
    Image.new(mode, (1, 1)).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png").shape == (1, 1, 3)


def test_first_frame_of_an_animation(tmp_path):
    red, blue = Image.new("RGB", (3, 3), (255, 0, 0)), Image.new("RGB", (3, 3), (0, 0, 255))
    red.save(tmp_path / "a.gif", save_all=True, append_images=[blue])
    assert read_image(tmp_path / "a.gif")[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM"])
def test_truncated_anywhere(tmp_path, kind, capfd):
    """Cut short, a file is refused, or (where only trailing bytes are lost) still the whole picture."""
    noise = np.random.default_rng(1).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, kind)
    whole = buffer.getvalue()
    path = tmp_path / "cut.img"
    path.write_bytes(whole)
    expected = read_image(path)
    for cut in np.linspace(1, len(whole) - 1, 40).astype(int):
        path.write_bytes(whole[:cut])
        try:
            got = read_image(path)
        except ImageError as error:
            assert str(error).isprintable()
        else:
            assert cut > 0.8 * len(whole)
            np.testing.assert_array_equal(got, expected)
    path.write_bytes(whole[: len(whole) // 2])
    assert refusal(path)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM"])
def test_flipped_bytes_never_escape_as_another_error(tmp_path, kind, capfd):
    rng = np.random.default_rng(2)
    buffer = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(buffer, kind)
    path = tmp_path / "flipped.img"
    for _ in range(150):
        data = bytearray(buffer.getvalue())
        for position in rng.integers(0, len(data), 3):
            data[position] = rng.integers(0, 256)
        path.write_bytes(data)
        try:
            got = read_image(path)
        except ImageError as error:
            assert str(error).isprintable()
        else:
            assert got.dtype == np.uint8 and got.ndim == 3 and got.shape[2] == 3
    assert capfd.readouterr().err == ""


def test_what_pillow_logs_is_not_printed(tmp_path, monkeypatch, capsys):
    """In a program that has not set up logging, as the command line has not."""
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    buffer = io.BytesIO()
    Image.new("RGB", (2, 2)).save(buffer, "TIFF")
    samples_per_pixel = struct.pack("<HHI", 277, 3, 1)
    odd = buffer.getvalue().replace(samples_per_pixel + b"\x03", samples_per_pixel + b"\xff")
    (tmp_path / "a.tif").write_bytes(odd)
    assert "begins as TIFF does" in refusal(tmp_path / "a.tif")
    assert capsys.readouterr().err == ""


def test_what_pillow_calls_a_syntax_error(tmp_path):
    """A chunk without a name in the middle of a PNG's pixels."""
    broken = png(9, 9, chunk(b"IDAT", zlib.compress(b"\0" * 64)) + struct.pack(">I", 4) + b"d\t\t\xcd")
    (tmp_path / "a.png").write_bytes(broken)
    assert "broken image: broken PNG file" in refusal(tmp_path / "a.png")


def test_what_is_not_an_image_is_named(tmp_path):
    (tmp_path / "text.jpg").write_text("not a picture")
    (tmp_path / "random.png").write_bytes(np.random.default_rng(0).bytes(1000))
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "folder.png").mkdir()
    assert "not an image" in refusal(tmp_path / "text.jpg")
    assert "not an image" in refusal(tmp_path / "random.png")
    assert refusal(tmp_path / "empty.png") == "is empty, needed an image file"
    assert "is a folder" in refusal(tmp_path / "folder.png")
    assert refusal(tmp_path / "missing.png") == "no such file; needed an image file"


def test_what_begins_as_an_image_is_called_broken(tmp_path):
    whole = bytearray(png(9, 9, b""))
    whole[20] ^= 1  # in the header, so that its checksum is wrong
    (tmp_path / "a.png").write_bytes(whole)
    assert "begins as PNG does, but is damaged" in refusal(tmp_path / "a.png")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    assert "a device or a pipe" in refusal(tmp_path / "pipe.png")


def test_a_format_that_would_run_another_program_is_refused(tmp_path):
    (tmp_path / "a.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n")
    assert "not an image" in refusal(tmp_path / "a.png")


def test_a_name_with_a_line_break_stays_on_one_line(tmp_path):
    with pytest.raises(ImageError) as caught:
        read_image(tmp_path / "two\nlines.png")
    assert str(caught.value).isprintable()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may read every file")
def test_a_file_without_permission(tmp_path, pixels):
    Image.fromarray(pixels).save(tmp_path / "a.png")
    (tmp_path / "a.png").chmod(0)
    assert "permission" in refusal(tmp_path / "a.png")


def chunk(name: bytes, data: bytes) -> bytes:
    """One chunk of a PNG."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width: int, height: int, chunks: bytes) -> bytes:
    """A PNG that says it is `width` x `height`, whatever its chunks hold."""
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)) + chunks


@pytest.mark.parametrize("size", [(10_001, 10_000), (13_000, 10_000), (60_000, 60_000)])
def test_decompression_bombs_are_refused_before_they_are_decoded(tmp_path, size):
    (tmp_path / "bomb.png").write_bytes(png(*size, chunk(b"IDAT", b"")))
    assert "over the limit of 100,000,000" in refusal(tmp_path / "bomb.png")


def test_the_limit_itself_is_allowed(tmp_path, pixels, monkeypatch):
    Image.fromarray(pixels).save(tmp_path / "a.png")
    monkeypatch.setattr(images, "MAX_PIXELS", 35)
    assert read_image(tmp_path / "a.png").shape == (5, 7, 3)
    monkeypatch.setattr(images, "MAX_PIXELS", 34)
    assert "7 x 5 pixels" in refusal(tmp_path / "a.png")


def test_listing_is_recursive_sorted_and_only_images(tmp_path):
    wanted, others = ["b/2.PNG", "b/10.jpg", "a.webp", "z/y/x.tiff"], ["c.txt", "b/n.md", ".hidden.png", ".cache/x.png"]
    for name in wanted + others:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    got = [path.relative_to(tmp_path).as_posix() for path in list_images(tmp_path)]
    assert got == sorted(wanted)
    assert list_images(str(tmp_path)) == list_images(tmp_path)


def test_folders_that_give_nothing_are_refused(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ImageError, match="no such folder"):
        list_images(tmp_path / "missing")
    with pytest.raises(ImageError, match="is a file, needed a folder"):
        list_images(tmp_path / "notes.txt")
    with pytest.raises(ImageError, match="holds no image"):
        list_images(tmp_path)
