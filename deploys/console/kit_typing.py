"""A person types the kit from paper, line by line; or a program hands the lines in, one by one."""

import sys
from pathlib import Path

from deploys.console.kit_content import MEANINGS, PARTS, Kit
from deploys.console.kit_lines import LineError, Sheet
from inventories.settings import display
from inventories.validation import SettingsError
from loomio_backup.encryption import crypto
from loomio_backup.errors import KeyFileError

_BEFORE = """\
Type the lines of the recovery kit as they are printed, one after the other, with the check characters at the
end of each; spaces do not matter. What you type can be seen here: close this window afterwards. Ctrl-C gives
up.
"""


def typed_kit() -> Kit:
    """The kit, from the terminal, where a wrong line is asked for again, or from standard input, where it is
    the end. Raises `SettingsError`.
    """
    sheet, asked = Sheet(PARTS), sys.stdin.isatty()
    if asked:
        print(_BEFORE)
    shown = ""
    while (label := sheet.expected) is not None:
        if asked and label[0] != shown:
            shown = label[0]
            print(f"{shown}: {MEANINGS[shown]}")
        typed = _next(label, sheet.total, asked)
        try:
            sheet.take(typed)
        except LineError as error:
            if not asked:
                raise SettingsError(f"{error} Nothing was changed.") from None
            print(f"  {error}")
    return Kit.typed(sheet.values())


def identities(path: Path) -> list[str]:
    """The age identities in a file. Raises `SettingsError`."""
    try:
        return [str(one) for one in crypto.parse_identities(path.read_text(encoding="utf-8"))]
    except OSError as error:
        raise SettingsError(
            f"{display(path)} cannot be read: {error.strerror}. Nothing was changed."
        ) from None
    except UnicodeDecodeError:
        raise SettingsError(f"{display(path)} is not text. Nothing was changed.") from None
    except KeyFileError as error:
        raise SettingsError(f"{display(path)}: {error} Nothing was changed.") from None


def _next(label: str, total: int | None, asked: bool) -> str:
    """The next line that is not empty."""
    while True:
        try:
            line = input(f"  {label}: ") if asked else sys.stdin.readline()
        except EOFError:
            line, asked = "", False
        except UnicodeDecodeError:
            raise SettingsError(f"Line {label} is not text. Nothing was changed.") from None
        if line.strip():
            return line
        if not asked and not line:
            of = f" of {total} lines" if total else ""
            raise SettingsError(
                f"The kit was not typed to its end: line {label}{of} is missing. Nothing was changed. Run "
                "the same again when you have the whole page."
            )
