"""Lets the operator edit a secret text: in memory where there is such a place, and gone afterwards."""

import os
import shlex
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from types import FrameType, TracebackType

from inventories.validation import SettingsError

_SIGNALS = (signal.SIGTERM, signal.SIGHUP)


class PrivateFile:
    """A file (0600) in a directory of its own (0700), in memory if possible; the directory is erased at the
    end.

    Ends also at SIGTERM and SIGHUP (a closed terminal) by erasing first.
    """

    def __init__(self, name: str) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="loomio-pi-", dir=_in_memory()))
        self._path = self._directory / name
        self._previous: dict[int, object] = {}

    def __enter__(self) -> "PrivateFile":
        for number in _SIGNALS:
            self._previous[number] = signal.signal(number, _leave)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _erase(self._directory)
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def edited(self, text: str) -> str:
        """Open `text` in the operator's editor and return what they made of it. Raises `SettingsError`."""
        command = _editor()
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        # Ctrl-C is the editor's business while it runs. A handler, unlike SIG_IGN, is not handed down to it.
        interrupt = signal.signal(signal.SIGINT, lambda *_: None)
        try:
            code = subprocess.run([*command, str(self._path)], check=False).returncode
        except OSError as error:
            raise SettingsError(
                f"The editor {command[0]} cannot be started: {error.strerror}. {_HOW}"
            ) from None
        finally:
            signal.signal(signal.SIGINT, interrupt)
        if code != 0:
            raise SettingsError(f"The editor {command[0]} ended with {code}. Nothing was changed. {_HOW}")
        try:
            return self._path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            raise SettingsError(
                f"The editor {command[0]} left no text behind. Nothing was changed."
            ) from None


_HOW = "Set EDITOR to the one that you want, such as: export EDITOR=nano"


def _editor() -> list[str]:
    for name in ("EDITOR", "VISUAL"):
        if chosen := os.environ.get(name):
            try:
                command = shlex.split(chosen)
            except ValueError:
                raise SettingsError(f"{name} cannot be understood: {chosen!r}. {_HOW}") from None
            if command:
                return command
    for usual in ("nano", "vim", "vi"):
        if shutil.which(usual):
            return [usual]
    raise SettingsError(f"No editor was found. {_HOW}")


def _in_memory() -> str | None:
    """A directory that never reaches a disk, or None for the usual temporary directory."""
    for candidate in (os.environ.get("XDG_RUNTIME_DIR"), "/dev/shm"):  # noqa: S108 - a private directory is made in it
        if candidate and Path(candidate).is_dir() and os.access(candidate, os.W_OK | os.X_OK):
            return candidate
    return None


def _leave(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _erase(directory: Path) -> None:
    """Overwrite and remove everything in `directory` (editors leave copies behind), and itself."""
    for path in directory.rglob("*"):
        if path.is_file() and not path.is_symlink():
            with path.open("r+b") as file:
                file.write(b"\0" * path.stat().st_size)
                file.flush()
                os.fsync(file.fileno())
    shutil.rmtree(directory)
