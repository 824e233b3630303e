"""`python -m tests.lab.data sql|tar|expected --seed N --db-mb N --files-mb N`: writes to standard output."""

import argparse
import dataclasses
import json
import sys

from . import Spec, expected, write_sql, write_tar


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.lab.data", description=__doc__)
    parser.add_argument("what", choices=("sql", "tar", "expected"))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--db-mb", type=int, default=50)
    parser.add_argument("--files-mb", type=int, default=50)
    options = parser.parse_args(arguments)
    spec = Spec(options.seed, options.db_mb, options.files_mb)
    match options.what:
        case "sql":
            write_sql(spec, sys.stdout.buffer)
        case "tar":
            write_tar(spec, sys.stdout.buffer)
        case "expected":
            json.dump(dataclasses.asdict(expected(spec)), sys.stdout, indent=1)
            print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
