"""What a single value of the settings must look like.

Each check returns the value or raises `ValueError` with words that follow it: "… is not a time zone".
"""

import re
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Annotated, Any
from urllib.parse import urlsplit
from zoneinfo import available_timezones

from cronsim import CronSim, CronSimError
from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo
from pydantic_core import PydanticCustomError

from inventories.validation import HIDDEN
from loomio_backup.encryption import crypto
from loomio_backup.errors import KeyFileError


def one_line(text: str) -> str:
    if not text.strip():
        raise ValueError("is empty")
    if any(character < " " or character == "\x7f" for character in text):
        raise ValueError("holds a line break or another control character")
    return text


def word(text: str) -> str:
    # A leading dash would make an option of it somewhere down the line.
    if not re.fullmatch(r"[^\s\-]\S*", text):
        raise ValueError("holds a space, is empty or starts with a dash")
    return text


def timezone(name: str) -> str:
    if name not in available_timezones():
        raise ValueError("is not a time zone")
    return name


def cron(expression: str) -> str:
    if len(expression.split()) == 6:
        # The library would take the first for seconds.
        raise ValueError("is not a cron expression (Wrong number of fields)")
    try:
        # Any moment will do: only whether it can be read is of interest.
        CronSim(expression, datetime.now(UTC))
    except CronSimError as error:
        raise ValueError(f"is not a cron expression ({error})") from None
    return expression


def web_address(text: str) -> str:
    try:
        parts = urlsplit(text)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good or re.search(r"\s", text):
        raise ValueError("is not a web address")
    return text


def host_name(text: str) -> str:
    label = r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?"
    if not re.fullmatch(rf"{label}(\.{label})*", text):
        raise ValueError("is not a host name")
    return text


def address(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._:%-]*[A-Za-z0-9])?|::1", text):
        raise ValueError("is not a host name or IP address")
    return text


def mail(text: str) -> str:
    if not re.fullmatch(r"[^\s@]+@[^\s@]+", text):
        raise ValueError("is not a mail address")
    return text


def repository(text: str) -> str:
    word(text)
    if re.match(r"(https?|ssh|git|file)://", text):
        if urlsplit(text).password:
            # An error type of its own: the message must not repeat the value.
            raise PydanticCustomError(HIDDEN, "holds a password, and settings are not secret")
    elif not re.fullmatch(r"[\w.-]+@[\w.-]+:.+|/.+", text):
        raise ValueError("is not the address of a git repository")
    return text


def image(text: str) -> str:
    word(text)
    # As Docker has it: registry and path, a tag, a digest.
    if not re.fullmatch(r"[a-z0-9][\w.:/-]*(:[\w][\w.-]{0,127})?(@sha256:[0-9a-f]{64})?", text):
        raise ValueError("is not the name of an image")
    return text


def name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", text):
        raise ValueError("is not a name (letters, digits, dots, dashes and underscores)")
    return text


def host_key(text: str) -> str:
    if not re.fullmatch(r"(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp\d+) AAAA[A-Za-z0-9+/]+=*", text):
        raise ValueError("is not the public key of an SSH server")
    return text


def local_path(value: Any, info: ValidationInfo) -> Any:
    """Paths on the operator's machine; relative ones mean: beside the settings file."""
    if not isinstance(value, str):
        raise ValueError("is not a path")
    directory: Path = (info.context or {}).get("directory", Path.cwd())
    return directory / Path(one_line(value)).expanduser()


def existing(path: Path) -> Path:
    if not path.is_file():
        raise ValueError(f"is not there (looked for {path})")
    return path


def pi_directory(text: str) -> str:
    path = PurePosixPath(one_line(text))
    if not path.is_absolute() or ".." in path.parts or len(path.parts) < 3:
        raise ValueError("is not an absolute path below the first level")
    return str(path)


def mount_point(text: str) -> str:
    path = PurePosixPath(one_line(text))
    if not path.is_absolute() or ".." in path.parts or len(path.parts) < 2:
        raise ValueError("is not an absolute path other than /")
    return str(path)


def prometheus_file(text: str) -> str:
    path = PurePosixPath(pi_directory(text))
    # The node exporter's textfile collector reads no others.
    if path.suffix != ".prom":
        raise ValueError("does not end in .prom")
    return str(path)


def subdirectory(text: str) -> str:
    path = PurePosixPath(one_line(text))
    if path.is_absolute() or ".." in path.parts:
        raise ValueError("is not a path inside the repository")
    return str(path)


def recipient(text: str) -> str:
    try:
        crypto.recipient(text)
    except KeyFileError:
        raise ValueError("is not an age recipient") from None
    return text


def off(value: Any) -> Any:
    """`off`, `no` and `false` read better than `null`."""
    return None if value is False else value


#: Decimal, as disks and Google's storage are sold.
_SIZES = {"kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
#: Bytes per second; uplinks are sold in bits.
_RATES = {"kB/s": 10**3, "MB/s": 10**6, "kbit/s": 125, "Mbit/s": 125_000}


def size(value: Any) -> Any:
    """`10 GB` → bytes."""
    return _measured(value, _SIZES, "is not a size")


def rate(value: Any) -> Any:
    """`500 kB/s` or `4 Mbit/s` → bytes per second."""
    return _measured(value, _RATES, "is not a rate")


def _measured(value: Any, units: dict[str, int], complaint: str) -> int | None:
    if value is None:
        return None
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) ?(\S+)", value) if isinstance(value, str) else None
    if found is None or found[2] not in units:
        # A bare number would leave open of what.
        raise ValueError(complaint)
    return round(float(found[1]) * units[found[2]])


Text = Annotated[str, AfterValidator(one_line)]
Cron = Annotated[str, AfterValidator(cron)]
Word = Annotated[str, AfterValidator(word)]
Image = Annotated[str, AfterValidator(image)]
Name = Annotated[str, AfterValidator(name)]
HostKey = Annotated[str, AfterValidator(host_key)]
WebAddress = Annotated[str, AfterValidator(web_address)]
LocalPath = Annotated[Path, BeforeValidator(local_path)]
ExistingFile = Annotated[Path, AfterValidator(existing), BeforeValidator(local_path)]
PiDirectory = Annotated[str, AfterValidator(pi_directory)]
Port = Annotated[int, Field(ge=1, le=65535)]
