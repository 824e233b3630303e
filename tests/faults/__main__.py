"""`make faults`: every series, whole; or those named with --series."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import traceback
from pathlib import Path

from . import report
from .series import SERIES


def main() -> int:
    """Run the series one after the other. Exit codes: 0 all held, 1 one did not (the rest was still run)."""
    parser = argparse.ArgumentParser(prog="make faults", description=__doc__)
    parser.add_argument("--series", nargs="+", choices=SERIES, default=list(SERIES), metavar="NAME")
    parser.add_argument("--list", action="store_true", help="name the series and end")
    arguments = parser.parse_args()
    if arguments.list:
        for name, (claim, _) in SERIES.items():
            print(f"{name:12} {claim}")
        return 0
    tried, broken = report.commit(), []
    for name in arguments.series:
        claim, work = SERIES[name]
        print(f"== {name}: {claim}", flush=True)
        began = time.monotonic()
        try:
            with tempfile.TemporaryDirectory(prefix=f"loomio-faults-{name}-") as directory:
                tables = work(Path(directory))
        except Exception:  # noqa: BLE001 - told, counted, and the other series still run
            traceback.print_exc()
            broken.append(name)
            continue
        seconds = time.monotonic() - began
        order = list(SERIES).index(name)
        report.keep(report.Outcome(name, claim, tables, round(seconds, 1), order=order), tried)
        print(f"== {name} held, {seconds:.0f} s", flush=True)
    if broken:
        print(f"did not hold: {', '.join(broken)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
