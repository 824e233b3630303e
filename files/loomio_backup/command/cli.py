"""`loomio-backup`: one verb, from the command line to its exit code, and how each failure is told."""

import errno
import io
import os
import signal
import sqlite3
import sys
from collections.abc import Callable, Sequence

from loomio_backup.command.cli_parser import parser
from loomio_backup.command.cli_verbs import VERBS
from loomio_backup.errors import AgentError
from loomio_backup.progress import clear


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb. Exit codes: 0 done, 1 failed (one sentence on stderr), 2 wrong usage."""
    parsed = parser().parse_args(arguments)
    # systemd stops us with SIGTERM: leave through the same doors as after an error, so that helpers go too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    return told(lambda: VERBS[parsed.verb](parsed))


def told(work: Callable[[], int]) -> int:
    """Run `work`; its exit code, or that of its failure after one sentence on stderr.

    Mistakes of ours, and nothing else, end in a traceback.
    """
    try:
        code = work()
        clear()
        _flush_output()
        return code
    except AgentError as error:
        return _failed(str(error))
    except io.UnsupportedOperation:
        raise  # an OSError by class, a mistake of ours by nature
    except OSError as error:
        return _failed(_of_the_system(error))
    except (sqlite3.IntegrityError, sqlite3.InterfaceError, sqlite3.ProgrammingError):
        raise
    except sqlite3.Error as error:
        return _failed(
            f"a working file in the state directory cannot be used ({error}). Earlier backups are untouched. "
            "Check that its disk is healthy, writable and has room, then run the same again."
        )
    except KeyboardInterrupt:
        return _failed("interrupted. Whatever was running can be run again.", 130)
    finally:
        _drop_broken_output()


def _failed(sentence: str, code: int = 1) -> int:
    clear()
    print(f"loomio-backup: {sentence}", file=sys.stderr)
    return code


_REMEDIES = {
    errno.ENOSPC: "Make room on that disk",
    errno.EDQUOT: "Make room on that disk",
    errno.EROFS: "Make that disk writable (after a fault the kernel stops writing: see dmesg)",
    errno.EIO: "Look for a failing disk with dmesg",
    errno.EACCES: "Become root",
    errno.EPERM: "Become root",
}


def _of_the_system(error: OSError) -> str:
    """What the operating system refused, and for which file where it says so."""
    reason = error.strerror or str(error) or type(error).__name__
    place = error.filename
    if place is None:
        what = ", ".join([reason, *getattr(error, "__notes__", [])])
    else:
        what = f"{place if isinstance(place, int) else os.fsdecode(place)}: {reason}"
    remedy = _REMEDIES.get(error.errno or 0, "Put that right")
    return f"{what}. Earlier backups are untouched. {remedy}, then run the same again."


def _flush_output() -> None:
    try:
        sys.stdout.flush()
    except OSError as error:
        error.filename = "standard output"
        raise


def _drop_broken_output() -> None:
    """What cannot be printed now cannot be at exit either, where Python would complain in its own way."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
