"""`loomio-pi drift`: is every Pi as declared? A look without a drill, for cron and CI."""

import argparse
from collections.abc import Sequence

from deploys.console import deploy


def main(arguments: Sequence[str]) -> int:
    """The verb. Returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="loomio-pi drift",
        description="Says what setup would change on the Pis, and changes nothing. Whether services run and "
        "backups restore, loomio-pi deploy verify looks at.",
        epilog="Exit codes: 0 as declared, 2 not as declared, 1 a Pi could not be looked at, or could not be "
        "made what the settings say.",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document for programs")
    parser.add_argument("--limit", metavar="NAME", action="append", default=[], help="look only at this Pi")
    options = parser.parse_args(arguments)
    limits = [word for name in options.limit for word in ("--limit", name)]
    return deploy.run("drift", [*(["--json"] if options.json else []), *limits])
