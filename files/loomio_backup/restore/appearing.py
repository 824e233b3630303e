"""Files that a person asked for: there when they are whole, and not before."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from loomio_backup.errors import AgentError
from loomio_backup.streams import BLOCK


@contextlib.contextmanager
def new_file(destination: Path) -> Iterator[BinaryIO]:
    """A new file (0600) that gets its name only when the block ends well, and is gone otherwise."""
    temporary: Path | None = None
    try:
        descriptor, name = tempfile.mkstemp(dir=destination.parent, prefix=".loomio-backup-")
        temporary = Path(name)
        with os.fdopen(descriptor, "wb", buffering=BLOCK) as out:
            yield out
            out.flush()
            os.fsync(out.fileno())
        temporary.rename(destination)
        temporary = None
    except OSError as error:
        raise AgentError(f"{destination} cannot be written: {error.strerror or error}.") from None
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
