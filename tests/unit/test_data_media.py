"""Generated images and documents are real ones: parsed here by the rules of their formats."""

import struct
import zlib

import pytest

from tests.lab.data.media import Kind, Recipe

SIZES = (100, 1_999, 20_000, 70_000, 1_000_000)


def made(kind: Kind, size: int) -> bytes:
    return b"".join(Recipe(kind, size, f"seed {size}").chunks())


@pytest.mark.parametrize("size", SIZES)
def test_png_is_valid(size: int) -> None:
    data = made("png", size)
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    position, names, pixels = 8, [], b""
    while position < len(data):
        length, name = struct.unpack_from(">I4s", data, position)
        content = data[position + 8 : position + 8 + length]
        (crc,) = struct.unpack_from(">I", data, position + 8 + length)
        assert crc == zlib.crc32(name + content)
        names.append(name)
        if name == b"IHDR":
            width, height, depth, colour, *rest = struct.unpack(">IIBBBBB", content)
            assert (depth, colour, rest) == (8, 2, [0, 0, 0])
        if name == b"IDAT":
            pixels += content
        position += 12 + length
    assert names[0] == b"IHDR" and names[-1] == b"IEND" and set(names[1:-1]) == {b"IDAT"}
    raw = zlib.decompress(pixels)
    assert len(raw) == height * (1 + 3 * width)
    assert not any(raw[:: 1 + 3 * width])


@pytest.mark.parametrize("size", SIZES)
def test_gif_is_valid(size: int) -> None:
    data = made("gif", size)
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    assert data.startswith(b"GIF89a") and flags & 0x80
    position = 13 + 3 * 2 ** ((flags & 7) + 1)
    assert data[position : position + 1] == b","
    assert struct.unpack_from("<HHHHB", data, position + 1) == (0, 0, width, height, 0)
    bits = data[position + 10]
    position += 11
    codes = b""
    while length := data[position]:
        codes += data[position + 1 : position + 1 + length]
        position += 1 + length
    assert data[position:] == b"\x00;"
    assert bits == 7
    # All codes are 8 bits wide as long as a clear code comes before the 128th entry of the table.
    runs = codes.removesuffix(b"\x81").split(b"\x80")
    assert codes.endswith(b"\x81") and codes.startswith(b"\x80")
    assert all(len(run) <= 126 and not any(code > 127 for code in run) for run in runs)
    assert sum(map(len, runs)) == width * height


@pytest.mark.parametrize("size", SIZES)
def test_pdf_is_valid(size: int) -> None:
    data = made("pdf", size)
    assert data.startswith(b"%PDF-1.4\n") and data.endswith(b"%%EOF\n")
    start = int(data.split(b"startxref\n")[1].split()[0])
    assert data[start : start + 9] == b"xref\n0 6\n"
    entries = data[start + 9 :].split(b"trailer")[0]
    assert len(entries) == 6 * 20
    for number in range(1, 6):
        offset = int(entries[number * 20 : number * 20 + 10])
        assert data[offset:].startswith(b"%d 0 obj\n" % number)
    image = data[data.index(b"5 0 obj") :]
    length = int(image.split(b"/Length ")[1].split()[0])
    body = image.split(b"stream\n", 1)[1]
    assert body[length:].startswith(b"\nendstream\nendobj\n")


@pytest.mark.parametrize("kind", ["png", "gif", "pdf"])
@pytest.mark.parametrize("size", SIZES[2:])
def test_size_is_about_right(kind: Kind, size: int) -> None:
    assert abs(len(made(kind, size)) - size) < size * 0.05 + 1000


@pytest.mark.parametrize("size", [1, 2, 65_535, 65_536, 200_000])
def test_text_has_the_exact_size(size: int) -> None:
    assert len(made("text", size)) == size


def test_chunks_are_small() -> None:
    for kind in ("png", "gif", "pdf", "text"):
        assert max(map(len, Recipe(kind, 3_000_000, "x").chunks())) < 70_000
