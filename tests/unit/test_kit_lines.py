"""What is typed from paper: every wrong character and every swap is noticed, and in the line where it is."""

from __future__ import annotations

import random
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploys.console.kit_lines import LINE, Line, LineError, Part, Sheet, coded, decoded, printed

KEY = Part("K", "code", 58)
NAME = Part("N", "text")
PARTS = (KEY, NAME)
#: Always the same: of missing characters one in 65,536 is not noticed where a line may have any length.
IDENTITY = coded(random.Random(7).randbytes(40))[:58]
FOLDER = "Ñandú's backups/100% 1l0O-_"
LINES = printed([(KEY, IDENTITY), (NAME, FOLDER)])
KEYBOARD = string.ascii_letters + string.digits + string.punctuation


def typed(lines: list[str]) -> dict[str, str]:
    sheet = Sheet(PARTS)
    for line in lines:
        sheet.take(line)
    return dict(sheet.values())


def outcome(number: int, wrong: str) -> str:
    """What comes of it when one line is typed like that: `same`, `noticed`, or what was believed."""
    sheet = Sheet(PARTS)
    for line in LINES[:number]:
        sheet.take(str(line))
    label = LINES[number].label
    try:
        sheet.take(wrong)
    except LineError as error:
        assert f"line {label}".lower() in str(error).lower()
        assert sheet.expected == label
        return "noticed"
    for line in LINES[number + 1 :]:
        sheet.take(str(line))
    found = dict(sheet.values())
    return "same" if found == {"K": IDENTITY, "N": FOLDER} else f"believed: {found}"


def without_label(line: Line) -> str:
    return line.text + line.check


def test_what_is_printed_can_be_typed() -> None:
    assert typed([str(line) for line in LINES]) == {"K": IDENTITY, "N": FOLDER}
    assert typed([without_label(line) for line in LINES]) == {"K": IDENTITY, "N": FOLDER}
    assert [line.label for line in LINES[:5]] == ["A", "K1", "K2", "K3", "N1"]
    assert all(len(line.text) <= LINE for line in LINES)


def test_spaces_capitals_and_look_alikes_do_not_matter_in_keys() -> None:
    lines = [str(line) for line in LINES]
    lines[1] = without_label(LINES[1]).lower().replace("0", "o")
    lines[2] = f"  k2   {without_label(LINES[2])[:3]} {without_label(LINES[2])[3:]} "
    assert typed(lines)["K"] == IDENTITY


@pytest.mark.parametrize("number", range(len(LINES)), ids=[line.label for line in LINES])
def test_every_wrong_character_is_noticed(number: int) -> None:
    right = without_label(LINES[number])
    tried = 0
    for place in range(len(right)):
        for character in KEYBOARD:
            wrong = right[:place] + character + right[place + 1 :]
            if character != right[place]:
                tried += 1
                assert outcome(number, wrong) in ("noticed", "same"), wrong
    assert tried > 400


@pytest.mark.parametrize("number", range(len(LINES)), ids=[line.label for line in LINES])
def test_every_swap_of_neighbours_is_noticed(number: int) -> None:
    right = without_label(LINES[number])
    for place in range(len(right) - 1):
        wrong = right[:place] + right[place + 1] + right[place] + right[place + 2 :]
        if wrong != right:
            assert outcome(number, wrong) == "noticed", wrong


def test_only_look_alikes_are_forgiven() -> None:
    """`same` above is what cannot be meant otherwise: capitals, O for 0, I or 1 for L, B for 8."""
    right = without_label(LINES[1])
    for place in range(len(right)):
        for character in string.ascii_uppercase + string.digits:
            wrong = right[:place] + character + right[place + 1 :]
            if character != right[place] and outcome(1, wrong) == "same":
                assert (character, right[place]) in {
                    *(("O", "0"), ("I", "L"), ("1", "L"), ("B", "8"), ("I", "1"), ("L", "1"))
                }


@pytest.mark.parametrize("number", range(1, len(LINES)), ids=[line.label for line in LINES[1:]])
def test_characters_that_are_missing_or_too_many(number: int) -> None:
    right = without_label(LINES[number])
    for place in range(len(right)):
        assert outcome(number, right[:place] + right[place + 1 :]) == "noticed"
        assert outcome(number, right[:place] + right[place] + right[place:]) == "noticed"
    for other in LINES:
        if other.label != LINES[number].label:
            assert outcome(number, without_label(other)) == "noticed"
            assert outcome(number, str(other)) == "noticed"


def test_another_line_is_named() -> None:
    sheet = Sheet(PARTS)
    sheet.take(str(LINES[0]))
    with pytest.raises(LineError, match=r"^This is line K2, and line K1 is expected\.$"):
        sheet.take(str(LINES[2]))
    with pytest.raises(LineError, match=r"It has 20 characters and 4 check characters; 23 were typed"):
        sheet.take(str(LINES[1])[:-1])


@settings(max_examples=300, deadline=None)
@given(st.text(min_size=1, max_size=60).filter(lambda text: text.isprintable()), st.data())
def test_any_text_comes_back_and_its_typos_are_noticed(text: str, data: st.DataObject) -> None:
    lines = printed([(NAME, text)])
    assert typed([str(line) for line in lines]) == {"N": text}
    line = data.draw(st.sampled_from(lines[1:]))
    place = data.draw(st.integers(0, len(line.text) - 1))
    character = data.draw(st.sampled_from(KEYBOARD).filter(lambda one: one != line.text[place]))
    sheet = Sheet(PARTS)
    for before in lines[: lines.index(line)]:
        sheet.take(str(before))
    with pytest.raises(LineError, match=f"Line {line.label} is not as it is printed"):
        sheet.take(line.text[:place] + character + line.text[place + 1 :] + line.check)


@given(st.binary(min_size=32, max_size=32))
def test_bytes_as_code(data: bytes) -> None:
    assert len(coded(data)) == 52
    assert decoded(coded(data)) == data


def test_a_kit_of_a_later_version_says_so() -> None:
    sheet = Sheet([NAME])
    with pytest.raises(LineError, match="Use the"):
        sheet.take(str(printed([(KEY, IDENTITY)])[0]))


def test_a_short_line_that_looks_like_a_label() -> None:
    for text in ("a", "n1", "N1", "x" * LINE + "n2", "x" * LINE + "n"):
        lines = printed([(NAME, text)])
        assert typed([str(line) for line in lines]) == {"N": text}
        assert typed([f"{line.text} {line.check}" for line in lines]) == {"N": text}


def test_what_cannot_be_printed_is_refused() -> None:
    with pytest.raises(ValueError, match="K has 57 characters"):
        printed([(KEY, IDENTITY[:-1])])
