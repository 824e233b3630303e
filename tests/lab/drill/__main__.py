"""`make drill`: one whole life in the lab, its report, and exit code 0 only if everything came back."""

from __future__ import annotations

import argparse
import shutil
import sys
import time

from ..data import Spec
from ..docker import REPOSITORY, LabError
from ..lab import Lab
from .judge import judge
from .life import rehearse
from .report import Report
from .sabotage import SABOTAGES

FOLDER = REPOSITORY / "drill"


def main() -> int:
    options = _options()
    report = Report(options.os, options.sudo_password, options.seed, options.db_mb, options.files_mb)
    started = time.monotonic()
    if FOLDER.exists():
        shutil.rmtree(FOLDER)
    FOLDER.mkdir(mode=0o700)
    try:
        drill(options, report)
    except LabError as error:
        report.problems.append(str(error))
    finally:
        report.total_seconds = round(time.monotonic() - started, 1)
        report.write(FOLDER / "report.json")
    print(report.summary(), flush=True)
    print(
        f"  All figures: {(FOLDER / 'report.json').relative_to(REPOSITORY)}; what was printed: drill/*.log",
        flush=True,
    )
    return 0 if report.ok else 1


def drill(options: argparse.Namespace, report: Report) -> None:
    """The lab, the life, the damage if any was asked for, the comparison."""
    print("▶ Building the lab: a cloud with Drive, registry, git and apt servers", flush=True)
    with Lab(FOLDER, options.os, sudo_password=options.sudo_password, keep=options.keep) as lab:
        spec = Spec(options.seed, options.db_mb, options.files_mb)
        rehearsal = rehearse(lab, spec, report)
        if options.sabotage:
            print(f"  sabotage: damaged {SABOTAGES[options.sabotage](rehearsal)}", flush=True)
        with report.phase("compare", "Comparing every row, file and attachment with the seed"):
            judge(rehearsal)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make drill", description=__doc__)
    parser.add_argument(
        "--os", choices=("trixie", "bookworm"), default="trixie", help="Debian release of the Pi"
    )
    parser.add_argument("--sudo-password", action="store_true", help="a Pi whose sudo asks for a password")
    parser.add_argument("--db-mb", type=int, default=50, help="size of the generated database (default: 50)")
    parser.add_argument("--files-mb", type=int, default=50, help="size of the generated files (default: 50)")
    parser.add_argument("--seed", type=int, default=1, help="what the data is made from (default: 1)")
    parser.add_argument("--sabotage", choices=sorted(SABOTAGES), help="damage this before the comparison")
    parser.add_argument("--keep", action="store_true", help="leave the lab running at the end")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
