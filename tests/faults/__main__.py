"""`make faults`: every series, whole; or those named with --series."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from . import report
from .series import SERIES


def main() -> int:
    """Run the series. Exit codes: 0 all held, 1 one did not (the rest was still run)."""
    parser = argparse.ArgumentParser(prog="make faults", description=__doc__)
    parser.add_argument("--series", nargs="+", choices=SERIES, default=list(SERIES), metavar="NAME")
    parser.add_argument("--jobs", type=int, default=2, help="so many at a time; those that measure run alone")
    parser.add_argument("--list", action="store_true", help="name the series and end")
    arguments = parser.parse_args()
    if arguments.list:
        for name, series in SERIES.items():
            print(f"{name:16} {series.claim}")
        return 0
    if len(arguments.series) == 1:
        return int(not _held(arguments.series[0]))
    together = [name for name in arguments.series if not SERIES[name].alone]
    with ThreadPoolExecutor(arguments.jobs) as pool:
        results = dict(zip(together, pool.map(_by_itself, together), strict=True))
    for name in arguments.series:
        if SERIES[name].alone:
            results[name] = _by_itself(name)
    report.write_page()
    broken = [name for name, held in results.items() if not held]
    if broken:
        print(f"did not hold: {', '.join(broken)}", file=sys.stderr)
    return int(bool(broken))


def _by_itself(name: str) -> bool:
    return subprocess.run([sys.executable, "-m", "tests.faults", "--series", name]).returncode == 0


def _held(name: str) -> bool:
    series, tried, began = SERIES[name], report.commit(), time.monotonic()
    print(f"== {name}: {series.claim}", flush=True)
    try:
        with tempfile.TemporaryDirectory(prefix=f"loomio-faults-{name}-") as directory:
            tables = series.work(Path(directory))
    except Exception:  # noqa: BLE001 - told and counted; the other series still run
        traceback.print_exc()
        print(f"== {name} did NOT hold", flush=True)
        return False
    seconds = round(time.monotonic() - began, 1)
    order = list(SERIES).index(name)
    report.keep(report.Outcome(name, series.claim, tables, seconds, order), tried)
    report.write_page()
    print(f"== {name} held, {seconds:.0f} s", flush=True)
    return True


if __name__ == "__main__":
    sys.exit(main())
