"""`loomio-backup`: the agent's verbs. A table of contents: the work is in the modules that it names."""

import argparse
import errno
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from loomio_backup.config import DEFAULT_PATH
from loomio_backup.errors import AgentError
from loomio_backup.version import VERSION

Verb = Callable[[argparse.Namespace], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb. Exit codes: 0 done, 1 failed (one sentence on stderr), 2 wrong usage."""
    parsed = _parser().parse_args(arguments)
    # systemd stops us with SIGTERM: leave through the same doors as after an error, so that helpers go too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    verb: Verb = parsed.verb
    try:
        return verb(parsed)
    except AgentError as error:
        print(f"loomio-backup: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        print(
            f"loomio-backup: no room left on the disk ({error.filename or 'while writing'}). What was "
            "complete before is untouched. Make room, then run the same again.",
            file=sys.stderr,
        )
        return 1
    except KeyboardInterrupt:
        print("loomio-backup: interrupted. Whatever was running can be run again.", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="loomio-backup", description="Backs up this Pi's Loomio, and brings it back."
    )
    parser.add_argument(
        "--config", type=Path, default=DEFAULT_PATH, metavar="FILE", help=f"default: {DEFAULT_PATH}"
    )
    verbs = parser.add_subparsers(title="verbs", required=True, metavar="VERB")

    run = verbs.add_parser("run", help="make one backup, in every store")
    run.set_defaults(verb=_run)

    list_ = verbs.add_parser("list", help="show the backups, newest first")
    list_.add_argument("--store", choices=["local", "drive"], help="only this store")
    list_.add_argument("--json", action="store_true", help="for programs")
    list_.set_defaults(verb=_list)

    check = verbs.add_parser("check", help="is the newest backup complete, and young enough?")
    check.add_argument("--store", choices=["local", "drive"], required=True)
    check.add_argument("--json", action="store_true", help="for programs")
    check.set_defaults(verb=_check)

    restore = verbs.add_parser("restore", help="bring a backup back: database and files")
    choice = restore.add_mutually_exclusive_group()
    choice.add_argument("--backup", metavar="NAME", help="this one (see the verb list)")
    choice.add_argument("--newest", action="store_true", help="the newest that is undamaged")
    restore.add_argument("--store", choices=["local", "drive"], help="only from this store")
    restore.add_argument("--unattended", action="store_true", help="ask nothing")
    restore.add_argument(
        "--replace-live-data", action="store_true", help="also when the live database holds data"
    )
    restore.set_defaults(verb=_restore)

    from loomio_backup import decrypt

    open_ = verbs.add_parser("decrypt", help="remove the encryption of one object, without any configuration")
    decrypt.add_arguments(open_)
    open_.set_defaults(verb=decrypt.run)

    version = verbs.add_parser("version", help="print the program's version")
    version.set_defaults(verb=_version)
    return parser


# Every verb imports what it needs: the libraries of one must not cost the others time and memory on a Pi.


def _run(arguments: argparse.Namespace) -> int:
    from loomio_backup import backup, config, credentials

    settings = config.load(arguments.config)
    backup.run(settings, credentials.Credentials(settings.credentials_directory))
    return 0


def _list(arguments: argparse.Namespace) -> int:
    from loomio_backup import config, credentials, listing

    settings = config.load(arguments.config)
    return listing.run(
        settings, credentials.Credentials(settings.credentials_directory), arguments.store, arguments.json
    )


def _check(arguments: argparse.Namespace) -> int:
    from loomio_backup import check, config, credentials

    settings = config.load(arguments.config)
    return check.run(
        settings, credentials.Credentials(settings.credentials_directory), arguments.store, arguments.json
    )


def _restore(arguments: argparse.Namespace) -> int:
    from loomio_backup import config, credentials, restore

    settings = config.load(arguments.config)
    restore.run(
        settings,
        credentials.Credentials(settings.credentials_directory),
        restore.Wish(
            backup=arguments.backup,
            newest=arguments.newest,
            store=arguments.store,
            unattended=arguments.unattended,
            replace_live_data=arguments.replace_live_data,
        ),
    )
    return 0


def _version(_: argparse.Namespace) -> int:
    print(f"loomio-backup {VERSION}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
