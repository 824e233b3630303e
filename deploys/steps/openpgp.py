"""Fingerprints of OpenPGP keys, so that the apt key that we ship is checked where no gpg is installed.

A version 4 fingerprint is the SHA-1 of 0x99, the packet's length (two octets) and the public key packet (RFC
4880, 12.2).
"""

import base64
import binascii
import hashlib
from collections.abc import Iterator

PUBLIC_KEY = 6


class KeyFormatError(ValueError):
    """The file is no OpenPGP key that we can read."""


def fingerprints(data: bytes) -> list[str]:
    """The fingerprints (40 upper-case hex digits) of the primary keys in `data`, armored or binary, in their
    order.
    """
    found = []
    for tag, body in _packets(_dearmor(data)):
        if tag == PUBLIC_KEY:
            if not body or body[0] != 4:
                raise KeyFormatError("only version 4 keys are understood")
            found.append(hashlib.sha1(b"\x99" + len(body).to_bytes(2, "big") + body).hexdigest().upper())  # noqa: S324
    if not found:
        raise KeyFormatError("it holds no public key")
    return found


def _dearmor(data: bytes) -> bytes:
    if not data.lstrip().startswith(b"-----BEGIN PGP PUBLIC KEY BLOCK-----"):
        return data
    body = []
    in_body = False
    for line in data.decode("ascii", errors="replace").strip().splitlines()[1:]:
        stripped = line.strip()
        if not in_body:
            # Headers such as "Comment: …" end with an empty line.
            in_body = not stripped
        elif stripped.startswith(("=", "-----END")):
            break
        else:
            body.append(stripped)
    try:
        return base64.b64decode("".join(body), validate=True)
    except binascii.Error as error:
        raise KeyFormatError(f"its armor is damaged ({error})") from error


def _packets(data: bytes) -> Iterator[tuple[int, bytes]]:
    position = 0
    while position < len(data):
        tag, start, length = _header(data, position)
        if start + length > len(data):
            raise KeyFormatError("it ends in the middle of a packet")
        yield tag, data[start : start + length]
        position = start + length


def _header(data: bytes, position: int) -> tuple[int, int, int]:
    """Tag, start and length of the packet at `position` (RFC 4880, 4.2)."""
    first = data[position]
    rest = data[position + 1 : position + 6].ljust(5, b"\0")
    if not first & 0x80:
        raise KeyFormatError("it is not an OpenPGP file")
    if not first & 0x40:
        size = first & 0x03
        if size == 3:
            raise KeyFormatError("it has a packet without a length")
        octets = 1 << size
        return (first >> 2) & 0x0F, position + 1 + octets, int.from_bytes(rest[:octets], "big")
    tag = first & 0x3F
    if rest[0] < 192:
        return tag, position + 2, rest[0]
    if rest[0] < 224:
        return tag, position + 3, ((rest[0] - 192) << 8) + rest[1] + 192
    if rest[0] == 255:
        return tag, position + 6, int.from_bytes(rest[1:5], "big")
    raise KeyFormatError("it has a packet of partial length")
