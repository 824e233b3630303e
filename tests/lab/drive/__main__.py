"""`python -m tests.lab.drive --port P --root DIR [--host H]`: the emulator alone, until SIGTERM or Ctrl-C."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from pathlib import Path

from .emulator import DriveEmulator


def main() -> int:
    """Serve and say where."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.lab.drive", description="Emulates Google Drive's API."
    )
    parser.add_argument("--port", type=int, required=True, help="TCP port (0: any)")
    parser.add_argument("--root", type=Path, required=True, help="directory for all state; survives restarts")
    parser.add_argument("--host", default="127.0.0.1", help="address to bind (default: %(default)s)")
    options = parser.parse_args()
    emulator = DriveEmulator(options.root, options.host, options.port)
    done = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: done.set())
    emulator.start()
    print(
        f"Drive emulator: http://{options.host}:{emulator.port}/ with its state in {options.root}", flush=True
    )
    done.wait()
    emulator.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
