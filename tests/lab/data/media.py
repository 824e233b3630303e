"""Real image and document files of about a wanted size, made with the standard library, in constant memory.

Pixels are noise, so that files compress as little as photographs do. Images are stored without compression,
by hand: what zlib makes of the same bytes differs between its versions, and the checksums must follow from
the seed alone.
"""

import random
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Kind = Literal["png", "gif", "pdf", "text", "empty"]
CONTENT_TYPES: dict[Kind, str] = {
    "png": "image/png",
    "gif": "image/gif",
    "pdf": "application/pdf",
    "text": "text/plain",
    "empty": "text/plain",
}
_BLOCK = 65_535


@dataclass(frozen=True)
class Recipe:
    """What a file's content is made from. size: bytes; exact for text, about right for images and PDF."""

    kind: Kind
    size: int
    seed: str

    def chunks(self) -> Iterator[bytes]:
        """The content, in pieces of at most about 64 KiB."""
        source = random.Random(self.seed)
        match self.kind:
            case "png":
                yield from _png(self.size, source)
            case "gif":
                yield from _gif(self.size, source)
            case "pdf":
                yield from _pdf(self.size, source)
            case "text":
                yield from _text(self.size, source)
            case "empty":
                return


def _png(size: int, source: random.Random) -> Iterator[bytes]:
    width = max(1, min(4000, int((size / 3) ** 0.5)))
    row = 1 + 3 * width
    height = max(1, size // row)
    yield b"\x89PNG\r\n\x1a\n"
    yield _png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    rows_per_block = _BLOCK // row
    checksum, header = 1, b"\x78\x01"
    for first in range(0, height, rows_per_block):
        rows = min(rows_per_block, height - first)
        raw = bytearray(source.randbytes(rows * row))
        raw[::row] = bytes(rows)  # each row starts with its filter: none
        checksum = zlib.adler32(raw, checksum)
        last = first + rows == height
        stored = struct.pack("<BHH", last, len(raw), len(raw) ^ 0xFFFF) + raw
        yield _png_chunk(b"IDAT", header + stored + (struct.pack(">I", checksum) if last else b""))
        header = b""
    yield _png_chunk(b"IEND", b"")


def _png_chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(name)))


def _gif(size: int, source: random.Random) -> Iterator[bytes]:
    """7-bit pixels with a clear code before every 126 of them: LZW codes then stay 8 bits wide, one byte
    each.
    """
    height = max(1, min(2000, int(size**0.5)))
    width = max(1, min(65_535, size // height))
    yield b"GIF89a" + struct.pack("<HHBBB", width, height, 0xF6, 0, 0)
    yield source.randbytes(3 * 128)
    yield b"," + struct.pack("<HHHHB", 0, 0, width, height, 0) + b"\x07"
    seven_bits = bytes(n & 0x7F for n in range(256))
    left = width * height
    while left:
        pixels = source.randbytes(min(left, 126 * 500)).translate(seven_bits)
        left -= len(pixels)
        parts = (pixels[n : n + 126] for n in range(0, len(pixels), 126))
        yield b"".join(bytes((len(part) + 1, 0x80)) + part for part in parts)
    yield b"\x01\x81\x00;"


def _pdf(size: int, source: random.Random) -> Iterator[bytes]:
    """One page that shows one grey image."""
    width = max(1, min(4000, int(size**0.5)))
    height = max(1, size // width)
    page = b"q 500 0 0 700 50 50 cm /Im0 Do Q"
    image = (
        f"<< /Type /XObject /Subtype /Image /Width {width} /Height {height} /ColorSpace /DeviceGray"
        f" /BitsPerComponent 8 /Length {width * height} >>"
    )
    objects = (
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Contents 4 0 R"
        b" /Resources << /XObject << /Im0 5 0 R >> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(page), page),
    )
    position = 0
    offsets = []
    head = b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n"
    for number, content in enumerate(objects, 1):
        offsets.append(len(head))
        head += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    offsets.append(len(head))
    head += f"5 0 obj\n{image}\nstream\n".encode()
    yield head
    for first in range(0, width * height, _BLOCK):
        yield source.randbytes(min(_BLOCK, width * height - first))
    tail = b"\nendstream\nendobj\n"
    position = len(head) + width * height + len(tail)
    entries = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    yield tail + b"xref\n0 6\n0000000000 65535 f \n" + entries
    yield b"trailer\n<< /Size 6 /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % position


def _text(size: int, source: random.Random) -> Iterator[bytes]:
    letters = bytes(b"abcdefghijklmnopqrstuvwxyz     \n"[n % 32] for n in range(256))
    for first in range(0, size, _BLOCK):
        yield source.randbytes(min(_BLOCK, size - first)).translate(letters)
