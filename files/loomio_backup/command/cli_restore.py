"""What can be typed to bring something back: restore, candidate, undo, settle, extract and open."""

import argparse
from pathlib import Path

from loomio_backup import moment
from loomio_backup.command.cli_options import Verbs, add_expectation, add_json, add_store, add_wait


def add_verbs(verbs: Verbs) -> None:
    """All of them."""
    _add_restore(verbs)
    _add_undo(verbs)
    _add_settle(verbs)
    _add_parts(verbs)
    _add_candidate(verbs)


def _add_restore(verbs: Verbs) -> None:
    restore = verbs.add_parser(
        "restore",
        help="bring a backup back: database and files",
        description="Brings a backup back: loads database and files beside the live ones, compares them with "
        "the backup, and then switches. Asks which backup, shows what will happen, and goes on when you type "
        "yes. What was live is backed up first, and kept aside: undo brings it back. An interrupted "
        "restore is taken up by the same command.",
    )
    choice = restore.add_mutually_exclusive_group()
    choice.add_argument("--backup", metavar="NAME", help="this one (see the verb list)")
    choice.add_argument("--newest", action="store_true", help="the newest that is undamaged")
    choice.add_argument(
        "--before",
        metavar="TIME",
        type=moment.typed,
        help="the newest undamaged one whose data is of before this time, such as '2026-11-22 14:30'",
    )
    choice.add_argument(
        "--older",
        metavar="FILE",
        help="the database out of a .sql.enc of the older backup scripts: a path, or a name in a store",
    )
    add_store(restore)
    restore.add_argument("--only", choices=["database", "files"], help="leave the other part as it is")
    add_expectation(restore)
    restore.add_argument("--unattended", action="store_true", help="ask nothing")
    restore.add_argument(
        "--replace-live-data",
        action="store_true",
        help="also when there is data (without: only if you say yes)",
    )
    restore.add_argument(
        "--streaming",
        action="store_true",
        help="where the disk is too small for both: remove what is live first (after a pinned backup of it); "
        "nothing is kept aside, and nothing can be undone",
    )
    _add_leave_stopped(restore)
    restore.add_argument(
        "--leave-other-version-stopped",
        action="store_true",
        help="the same, but only where another version of the app made the backup than the one that ran here",
    )
    restore.add_argument("--wish", metavar="ID", help="what its report is to call this restore")
    add_wait(restore)


def _add_undo(verbs: Verbs) -> None:
    undo = verbs.add_parser(
        "undo",
        help="take the last restore back",
        description="Makes live again what was here before the last restore; what that restore brought, with "
        "all that was written since, is kept in its place. Undone twice is done again.",
    )
    undo.add_argument(
        "--forget", action="store_true", help="instead: remove everything that restores have kept aside"
    )
    undo.add_argument("--unattended", action="store_true", help="ask nothing")
    _add_leave_stopped(undo)


def _add_parts(verbs: Verbs) -> None:
    extract = verbs.add_parser(
        "extract",
        help="take one attachment or one table out of a backup",
        description="Takes one file, or one table as SQL, out of a backup (the newest, if none is named), "
        "and writes it into a file. Nothing else is touched. OUT appears when it is whole.",
    )
    what = extract.add_mutually_exclusive_group(required=True)
    what.add_argument("--file", metavar="PATH", help="such as storage/ab/cd/KEY, or an attachment's KEY")
    what.add_argument("--table", metavar="TABLE", help="such as users, or schema.table")
    extract.add_argument("destination", metavar="OUT", type=Path, help="the file to write; must not exist")
    _add_which(extract)

    open_ = verbs.add_parser(
        "open",
        help="open a backup beside what is live, to look into it",
        description="Restores a backup (the newest, if none is named) into a database of its own that takes "
        "no changes, and its files into a directory of their own. What is live is not touched.",
    )
    open_.add_argument("--close", action="store_true", help="instead: remove everything that was opened")
    _add_which(open_)


def _add_which(parser: argparse.ArgumentParser) -> None:
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--backup", metavar="NAME", help="this one (see the verb list)")
    choice.add_argument(
        "--before", metavar="TIME", type=moment.typed, help="the newest one whose data is of before this time"
    )
    add_store(parser)


def _add_leave_stopped(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--leave-stopped", action="store_true", help="do not start the app afterwards: somebody else does"
    )


def _add_settle(verbs: Verbs) -> None:
    verbs.add_parser(
        "settle",
        help="bring a restore that was killed to its end",
        description="Brings a restore that was interrupted (killed, power cut) to its end: forward where it "
        "had begun to replace what is live, otherwise by removing what it had laid beside. A unit does this "
        "at every boot and when a restore dies.",
    )


def _add_candidate(verbs: Verbs) -> None:
    candidate = verbs.add_parser(
        "candidate",
        help="which backup would a recovery take?",
        description="Says which backup a recovery would take (the newest of which everything is there), what "
        "is passed over for it and why, and which version of the stack it is of. Changes nothing.",
    )
    add_store(candidate)
    candidate.add_argument("--backup", metavar="NAME", help="say it of this one (see the verb list)")
    candidate.add_argument(
        "--lent-identity", action="store_true", help="read the identity that opens it from standard input"
    )
    add_json(candidate)
