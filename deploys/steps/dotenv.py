"""Values in the `.env` file, written so that Docker Compose reads back exactly what was meant.

Compose's parser: unquoted text is trimmed, expanded (`$`) and cut at ` #`; single quotes keep everything
except a backslash before the closing quote; double quotes know escapes and expansion.
"""

import re

PLAIN = re.compile(r"[A-Za-z0-9_./:@%+,=~^-]+")
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class DotenvError(ValueError):
    """A name or a value that a `.env` file cannot hold."""


def line(name: str, value: str) -> str:
    """`NAME=value`, quoted as far as needed. Raises DotenvError, which never repeats the value."""
    if not NAME.fullmatch(name):
        raise DotenvError(f"{name!r} is not a name that a .env file can hold (letters, digits, underscores)")
    if "\n" in value or "\r" in value or "\0" in value:
        raise DotenvError(f"the value of {name} has a line break, which a .env file cannot hold")
    return f"{name}={quote(value)}"


def quote(value: str) -> str:
    """The value as Compose must find it. The simplest form that is exact: plain, single quotes, double
    quotes.
    """
    if not value or PLAIN.fullmatch(value):
        return value
    if "'" not in value and "\\" not in value:
        return f"'{value}'"
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$")
    return f'"{escaped}"'
