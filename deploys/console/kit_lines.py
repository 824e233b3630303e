"""Text that people type from paper: cut into short lines, each with check characters of its own.

A line is a label, at most 20 characters in groups of five, and four check characters: `K2 QPZRY 9X8GF 2TVDW
0S3JN 1F2A`. The check is CRC-16 (binascii.crc_hqx) over label and text, in hex. A CRC of 16 bits finds every
error that lies within 16 neighbouring bits, so each wrong character and each swap of two neighbours is found,
whichever they are, and in the line where it is; of wilder errors one in 65,536 passes. The label is part of
it: a line in another one's place is wrong, too.

Keys are written in the 32 letters and digits of Bech32 (BIP 173), as age writes them: capitals do not matter,
and there is no 1, B, I or O, so whoever reads an O can only mean 0. Other text is ASCII as it stands, with
the rest escaped as in web addresses (a space is %20). The very first line, `A`, says which lines there are.
"""

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote, unquote

#: Characters of text in one line, and in one of its groups.
LINE, GROUP = 20, 5
_CHECK = 4
_FIRST = "A"
_VERSION = "1"
_BECH32 = "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L"
_RFC4648 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
#: What a person may read in place of a character, where what they read cannot be meant.
_CODE_READ = str.maketrans("OIB1", "0L8L")
_HEX_READ = str.maketrans("OIL", "011")
#: Left alone by the escaping: all of printable ASCII but the space and the percent sign.
_PLAIN = "".join(chr(number) for number in range(33, 127) if chr(number) != "%")

Kind = Literal["code", "text"]


class LineError(ValueError):
    """A line is not what was printed; the text is a sentence that names it, never what was typed."""


@dataclass(frozen=True)
class Part:
    """What is printed as lines with the same letter. `size`: characters of all of them, where it is fixed."""

    letter: str
    kind: Kind
    size: int | None = None


@dataclass(frozen=True)
class Line:
    """One line as it is printed."""

    label: str
    text: str
    check: str

    @property
    def groups(self) -> list[str]:
        """The text in groups."""
        return [self.text[start : start + GROUP] for start in range(0, len(self.text), GROUP)]

    def __str__(self) -> str:
        return " ".join((self.label, *self.groups, self.check))


def coded(data: bytes) -> str:
    """Bytes in Bech32's characters, 52 for 32 bytes."""
    text = base64.b32encode(data).decode().rstrip("=")
    return text.translate(str.maketrans(_RFC4648, _BECH32))


def decoded(text: str) -> bytes:
    """The bytes of `coded`. Raises ValueError."""
    plain = text.translate(str.maketrans(_BECH32, _RFC4648))
    return base64.b32decode(plain + "=" * (-len(plain) % 8))


def printed(values: Sequence[tuple[Part, str]]) -> list[Line]:
    """Every line of these values, the one first that says which there are. Raises ValueError for a value that
    cannot be printed.
    """
    lines: list[Line] = []
    layout = _VERSION
    for part, value in values:
        text = value if part.kind == "code" else quote(value, safe=_PLAIN)
        if not text or (part.size is not None and len(text) != part.size):
            raise ValueError(f"{part.letter} has {len(text)} characters")
        pieces = [text[start : start + LINE] for start in range(0, len(text), LINE)]
        layout += f"{part.letter}{len(pieces)}"
        lines += [_line(f"{part.letter}{number}", piece) for number, piece in enumerate(pieces, start=1)]
    return [_line(_FIRST, layout), *lines]


def _line(label: str, text: str) -> Line:
    return Line(label, text, f"{binascii.crc_hqx((label + text).encode(), 0xFFFF):04X}")


def _verified(label: str, pieces: Sequence[str], kind: Kind) -> str | None:
    """The text in what was typed for this line; None when the check characters do not belong to it."""
    whole = "".join(pieces)
    if kind == "code":
        whole = whole.replace("-", "").upper()
    text, check = whole[:-_CHECK], whole[-_CHECK:].upper().translate(_HEX_READ)
    if kind == "code" and label != _FIRST:
        text = text.translate(_CODE_READ)
    right = text.isascii() and 0 < len(text) <= LINE and _line(label, text).check == check
    return text if right else None


class Sheet:
    """The lines that somebody types, one after the other: `expected` is the label of the next one, None at
    the end. `parts`: what there may be.
    """

    def __init__(self, parts: Sequence[Part]) -> None:
        self._parts = {part.letter: part for part in parts}
        self._labels: list[str] = [_FIRST]
        self._counts: dict[str, int] = {}
        self._texts: dict[str, str] = {}

    @property
    def expected(self) -> str | None:
        """The label of the line that is to be typed next."""
        return next((label for label in self._labels if label not in self._texts), None)

    @property
    def total(self) -> int | None:
        """How many lines there are; None as long as nobody knows."""
        return len(self._labels) if self._counts else None

    def take(self, typed: str) -> None:
        """Take the next line, with or without its label, spaces as one likes. Raises LineError."""
        label = self.expected
        assert label is not None, "all lines are there"
        if label == _FIRST:
            text = self._read(label, typed, "code")
            self._counts = self._layout(text)
            self._labels += [
                f"{letter}{number}"
                for letter, count in self._counts.items()
                for number in range(1, count + 1)
            ]
        else:
            text = self._read(label, typed, self._parts[label[0]].kind)
        self._texts[label] = text

    def values(self) -> Mapping[str, str]:
        """The values by their letters. Only when nothing is expected any more."""
        assert self.expected is None
        found = {}
        for letter, count in self._counts.items():
            text = "".join(self._texts[f"{letter}{number}"] for number in range(1, count + 1))
            found[letter] = text if self._parts[letter].kind == "code" else unquote(text)
        return found

    def _read(self, label: str, typed: str, kind: Kind) -> str:
        first, *rest = typed.split() or [""]
        named = bool(rest) and first.upper() in self._labels
        wanted = self._length(label)
        for pieces in ([rest] if named and first.upper() == label else []) + [[first, *rest]]:
            text = _verified(label, pieces, kind)
            if text is not None and wanted in (None, len(text)):
                return text
        if named and first.upper() != label:
            raise LineError(f"This is line {first.upper()}, and line {label} is expected.")
        raise LineError(self._wrong(label, len("".join(rest if named else [first, *rest]))))

    def _wrong(self, label: str, length: int) -> str:
        said = f"Line {label} is not as it is printed."
        wanted = self._length(label)
        if wanted is not None and length != wanted + _CHECK:
            said += f" It has {wanted} characters and {_CHECK} check characters; {length} were typed."
        return f"{said} Compare it with the paper, character by character, and type that line again."

    def _length(self, label: str) -> int | None:
        if label == _FIRST:
            return None
        letter, number = label[0], int(label[1:])
        size = self._parts[letter].size
        if number < self._counts[letter]:
            return LINE
        return None if size is None else size - LINE * (number - 1)

    def _layout(self, text: str) -> dict[str, int]:
        if text[:1] != _VERSION:
            raise LineError(
                "This kit was printed by a later version of this program. Use the one that is named on it."
            )
        found = re.findall(r"([A-Z])(\d+)", text[1:])
        counts = {letter: int(count) for letter, count in found}
        unknown = [letter for letter in counts if letter not in self._parts]
        if "".join(letter + count for letter, count in found) != text[1:] or unknown:
            raise LineError(
                "This kit has lines that this version of the program does not know. Use the version that is "
                "named on it."
            )
        return counts
