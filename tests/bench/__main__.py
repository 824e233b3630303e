"""`python -m tests.bench memory|increments|database|recovery`: one measurement, of any size."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from .database import measure_database
from .increments import measure_increments
from .memory import measure_memory
from .recovery import measure_recovery


def main() -> int:
    """Measure, and say whether it is within its limits. Exit codes: 0 it is, 1 it is not."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("what", choices=("memory", "increments", "database", "recovery"))
    parser.add_argument("--database-mb", type=int, default=2000)
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--files-mb", type=int, default=1000, help="of a recovery")
    parser.add_argument("--file-bytes", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="loomio-bench-") as directory:
        root = Path(directory)
        match options.what:
            case "memory":
                found = measure_memory(root, options.database_mb, options.files).within_limits
            case "increments":
                found = measure_increments(root, options.files, options.file_bytes).within_limits
            case "recovery":
                found = measure_recovery(root, options.database_mb, options.files_mb).within_limits
            case _:
                found = measure_database(root, options.database_mb, options.rounds).within_limits
    print("within its limits" if found else "NOT within its limits")
    return 0 if found else 1


if __name__ == "__main__":
    sys.exit(main())
