"""What can be typed after `loomio-backup`, and what the program says about it."""

import argparse
import re
from pathlib import Path

from loomio_backup.command import cli_restore, cli_update
from loomio_backup.command.cli_options import add_expectation, add_json, add_store, add_wait
from loomio_backup.config import DEFAULT_PATH, LABEL


def parser() -> argparse.ArgumentParser:
    """Every verb with its options; `verb` of what it parses names the verb."""
    whole = argparse.ArgumentParser(
        prog="loomio-backup", description="Backs up this Pi's Loomio, and brings it back."
    )
    whole.add_argument(
        "--config", type=Path, default=DEFAULT_PATH, metavar="FILE", help=f"default: {DEFAULT_PATH}"
    )
    verbs = whole.add_subparsers(title="verbs", dest="verb", required=True, metavar="VERB")

    run = verbs.add_parser(
        "run",
        help="make one backup, in every store",
        description="Makes one backup of database, files and configuration, and puts it into every store "
        "whose turn it is. Exit code 0 only when it is complete in all of them. Then removes what retention "
        "does not keep.",
    )
    run.add_argument(
        "--label", metavar="L", type=_label, help="a word for it, such as before-update; goes to every store"
    )
    run.add_argument(
        "--pin", action="store_true", help="keep it until it is unpinned; it goes to every store, too"
    )
    add_wait(run)

    list_ = verbs.add_parser(
        "list",
        help="show the backups, newest first",
        description="Shows the backups in the stores, newest first. Changes nothing there.",
    )
    add_store(list_)
    add_json(list_)

    show = verbs.add_parser(
        "show",
        help="show one backup in full",
        description="Shows one backup in full: what it holds, where its objects are, which keys open them. "
        "Changes nothing.",
    )
    show.add_argument("name", metavar="NAME", help="the backup (see the verb list)")
    add_json(show)

    check = verbs.add_parser(
        "check",
        help="are the backups complete, and is the newest young enough?",
        description="Checks that every object of the newest backup is in the store with the right size (in "
        "Drive also the hash), and that it is as young as the schedule demands. Exit code 1 when not. "
        "Changes nothing there, but what is found damaged is not relied on by later backups.",
    )
    add_store(check)
    check.add_argument("--all", action="store_true", help="every backup, not only the newest")
    check.add_argument(
        "--read-data",
        action="store_true",
        help="read every object of every backup (Drive: download it), compare it with its hash, and open it "
        "where this Pi has the key",
    )
    add_expectation(check)
    check.add_argument(
        "--json", action="store_true", help="as JSON, for programs: one verdict, or a list without --store"
    )

    verify = verbs.add_parser(
        "verify",
        help="restore the newest backup for proof, beside everything",
        description="Looks whether the newest backup is there, young enough and whole, then restores it from "
        "one store (Drive, if there is one) into a throwaway database that nothing leads out of, compares "
        "every table and file, starts the app against it, and removes it all. Exit code 1 when something is "
        "not as it should be. Nothing live is touched, and backups go on meanwhile.",
    )
    add_store(verify)
    verify.add_argument("--backup", metavar="NAME", help="this one instead of the newest (see the verb list)")
    verify.add_argument(
        "--sample", action="store_true", help="the whole database, but only some of the files"
    )
    add_json(verify)
    add_wait(verify)

    prune = verbs.add_parser(
        "prune",
        help="remove the backups that the settings no longer keep",
        description="Removes the backups that the settings no longer keep, and what only they needed. Never "
        "the newest complete one, the last verified ones, or pinned ones; nothing while there is any doubt.",
    )
    add_store(prune)
    prune.add_argument("--dry-run", action="store_true", help="change nothing; explain every decision")
    prune.add_argument(
        "--resume",
        action="store_true",
        help="let retention go on after it was frozen, and without the backups that disappeared",
    )
    add_json(prune)
    add_wait(prune)

    pin = verbs.add_parser(
        "pin",
        help="keep a backup whatever the settings say",
        description="Pins a backup in every store that holds it: it stays until it is unpinned.",
    )
    pin.add_argument("name", metavar="NAME", help="the backup (see the verb list)")
    pin.add_argument("--reason", default="pinned by hand", help="why, for whoever reads it later")

    unpin = verbs.add_parser(
        "unpin",
        help="let a pinned backup go when the settings say so",
        description="Removes the pin of a backup from every store. The backup itself is not touched.",
    )
    unpin.add_argument("name", metavar="NAME", help="the backup (see the verb list)")

    status = verbs.add_parser(
        "status",
        help="how do the backups stand?",
        description="Says how the backups stand: in each store the newest complete one, what is missing, "
        "when the next is due, when the store will be full; what runs, what failed, which alarms are open. "
        "Works while a backup runs, and without a network. Exit code 1 when something is wrong.",
    )
    add_json(status)

    report = verbs.add_parser(
        "report",
        help="how everything stands, as one page for a browser",
        description="Writes one page of HTML that needs nothing else: open problems first, what a dead Pi "
        "would mean, the history of the backups, drills, what is kept where and why, and when there is no "
        "room left. Changes nothing.",
    )
    report.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="write it there, - for standard output (default: report.html in the state directory)",
    )

    verbs.add_parser(
        "watch",
        help="look at everything once, and tell whoever has to know",
        description="Looks at everything once, and tells whoever has to know what is wrong, what is still "
        "wrong, and what is over. Its timer runs it.",
    )

    verbs.add_parser(
        "alert-test",
        help="try out every way to tell you that something is wrong",
        description="Sends a test message to everybody who would be told, and pings the dead man's switch. "
        "Exit code 1 when one of them fails.",
    )

    export = verbs.add_parser(
        "export",
        help="write one backup into one file",
        description="Writes one backup into one encrypted file, on a USB disk for example, that opens with "
        "standard programs: age -d -i key.txt FILE | zstd -d | tar -x. FILE appears when it is whole.",
    )
    export.add_argument("destination", metavar="FILE", type=Path, help="the file to write; must not exist")
    export.add_argument("--backup", metavar="NAME", help="this one instead of the newest (see the verb list)")
    add_store(export)

    cli_restore.add_verbs(verbs)
    cli_update.add_verb(verbs)

    from loomio_backup.monitoring import probe

    try_out = verbs.add_parser(
        "probe",
        help="can the stores really be written?",
        description="Stores a small object in each store, reads it back and removes it. Exit code 1 with the "
        "store's own reason where that does not work.",
    )
    probe.add_arguments(try_out)

    rotate_key = verbs.add_parser(
        "rotate-key",
        help="after a change of the key: keep everything old openable",
        description="Puts the keyring (the earlier identities, for the present one) into every store, reads "
        "it back, removes the keyrings that it replaces, and says which earlier keys are still needed. Can "
        "be interrupted and repeated.",
    )
    rotate_key.add_argument(
        "--repack",
        action="store_true",
        help="also let all files travel again with the next backup, encrypted for the present key only",
    )

    from loomio_backup.command import decrypt

    open_ = verbs.add_parser(
        "decrypt",
        help="remove the encryption of one object, without any configuration",
        description="Removes the encryption of one object, and nothing else: what was compressed stays so. "
        "OUT appears only when IN proved to be whole and genuine.",
    )
    decrypt.add_arguments(open_)

    verbs.add_parser("version", help="print the program's version")
    return whole


def _label(text: str) -> str:
    if not re.fullmatch(LABEL, text):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no label: up to 40 of a-z, 0-9, - and _, not beginning with - or _"
        )
    return text
