"""`loomio-backup`: the agent's verbs. A table of contents: the work is in the modules that it names."""

import argparse
import errno
import io
import os
import re
import signal
import sqlite3
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from loomio_backup.config import DEFAULT_PATH, LABEL, Config, load
from loomio_backup.credentials import Credentials
from loomio_backup.errors import AgentError
from loomio_backup.progress import clear, say
from loomio_backup.version import VERSION

Verb = Callable[[argparse.Namespace], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb. Exit codes: 0 done, 1 failed (one sentence on stderr), 2 wrong usage."""
    parsed = _parser().parse_args(arguments)
    # systemd stops us with SIGTERM: leave through the same doors as after an error, so that helpers go too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    verb: Verb = parsed.verb
    return told(lambda: verb(parsed))


def told(work: Callable[[], int]) -> int:
    """Run `work`; its exit code, or that of its failure after one sentence on stderr.

    Mistakes of ours, and nothing else, end in a traceback.
    """
    try:
        code = work()
        clear()
        _flush_output()
        return code
    except AgentError as error:
        return _failed(str(error))
    except io.UnsupportedOperation:
        raise  # an OSError by class, a mistake of ours by nature
    except OSError as error:
        return _failed(_of_the_system(error))
    except (sqlite3.IntegrityError, sqlite3.InterfaceError, sqlite3.ProgrammingError):
        raise
    except sqlite3.Error as error:
        return _failed(
            f"a working file in the state directory cannot be used ({error}). Earlier backups are untouched. "
            "Check that its disk is healthy, writable and has room, then run the same again."
        )
    except KeyboardInterrupt:
        return _failed("interrupted. Whatever was running can be run again.", 130)
    finally:
        _drop_broken_output()


def _failed(sentence: str, code: int = 1) -> int:
    clear()
    print(f"loomio-backup: {sentence}", file=sys.stderr)
    return code


_REMEDIES = {
    errno.ENOSPC: "Make room on that disk",
    errno.EDQUOT: "Make room on that disk",
    errno.EROFS: "Make that disk writable (after a fault the kernel stops writing: see dmesg)",
    errno.EIO: "Look for a failing disk with dmesg",
    errno.EACCES: "Become root",
    errno.EPERM: "Become root",
}


def _of_the_system(error: OSError) -> str:
    """What the operating system refused, and for which file where it says so."""
    reason = error.strerror or str(error) or type(error).__name__
    place = error.filename
    if place is None:
        what = ", ".join([reason, *getattr(error, "__notes__", [])])
    else:
        what = f"{place if isinstance(place, int) else os.fsdecode(place)}: {reason}"
    remedy = _REMEDIES.get(error.errno or 0, "Put that right")
    return f"{what}. Earlier backups are untouched. {remedy}, then run the same again."


def _flush_output() -> None:
    try:
        sys.stdout.flush()
    except OSError as error:
        error.filename = "standard output"
        raise


def _drop_broken_output() -> None:
    """What cannot be printed now cannot be at exit either, where Python would complain in its own way."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC), sys.stdout.fileno())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="loomio-backup", description="Backs up this Pi's Loomio, and brings it back."
    )
    parser.add_argument(
        "--config", type=Path, default=DEFAULT_PATH, metavar="FILE", help=f"default: {DEFAULT_PATH}"
    )
    verbs = parser.add_subparsers(title="verbs", required=True, metavar="VERB")

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
    _add_wait(run)
    run.set_defaults(verb=_run)

    list_ = verbs.add_parser(
        "list",
        help="show the backups, newest first",
        description="Shows the backups in the stores, newest first. Changes nothing there.",
    )
    list_.add_argument("--store", choices=["local", "drive"], help="only this store")
    list_.add_argument("--json", action="store_true", help="as JSON, for programs")
    list_.set_defaults(verb=_list)

    show = verbs.add_parser(
        "show",
        help="show one backup in full",
        description="Shows one backup in full: what it holds, where its objects are, which keys open them. "
        "Changes nothing.",
    )
    show.add_argument("name", metavar="NAME", help="the backup (see the verb list)")
    show.add_argument("--json", action="store_true", help="as JSON, for programs")
    show.set_defaults(verb=_show)

    check = verbs.add_parser(
        "check",
        help="are the backups complete, and is the newest young enough?",
        description="Checks that every object of the newest backup is in the store with the right size and "
        "hash, and that it is as young as the schedule demands. Exit code 1 when not. Changes nothing there, "
        "but what is found damaged is not relied on by later backups.",
    )
    check.add_argument("--store", choices=["local", "drive"], help="only this store")
    check.add_argument("--all", action="store_true", help="every backup, not only the newest")
    check.add_argument(
        "--read-data",
        action="store_true",
        help="read every object of every backup (Drive: download it), compare it with its hash, and open it "
        "where this Pi has the key",
    )
    check.add_argument(
        "--json", action="store_true", help="as JSON, for programs: one verdict, or a list without --store"
    )
    check.set_defaults(verb=_check)

    prune = verbs.add_parser(
        "prune",
        help="remove the backups that the settings no longer keep",
        description="Removes the backups that the settings no longer keep, and what only they needed. Never "
        "the newest complete one, the last verified ones, or pinned ones; nothing while there is any doubt.",
    )
    prune.add_argument("--store", choices=["local", "drive"], help="only this store")
    prune.add_argument("--dry-run", action="store_true", help="change nothing; explain every decision")
    prune.add_argument(
        "--resume",
        action="store_true",
        help="let retention go on after it was frozen, and without the backups that disappeared",
    )
    prune.add_argument("--json", action="store_true", help="as JSON, for programs")
    _add_wait(prune)
    prune.set_defaults(verb=_prune)

    pin = verbs.add_parser(
        "pin",
        help="keep a backup whatever the settings say",
        description="Pins a backup in every store that holds it: it stays until it is unpinned.",
    )
    pin.add_argument("name", metavar="NAME", help="the backup (see the verb list)")
    pin.add_argument("--reason", default="pinned by hand", help="why, for whoever reads it later")
    pin.set_defaults(verb=_pin)

    unpin = verbs.add_parser(
        "unpin",
        help="let a pinned backup go when the settings say so",
        description="Removes the pin of a backup from every store. The backup itself is not touched.",
    )
    unpin.add_argument("name", metavar="NAME", help="the backup (see the verb list)")
    unpin.set_defaults(verb=_unpin)

    status = verbs.add_parser(
        "status",
        help="how do the backups stand?",
        description="Says how the backups stand: in each store the newest complete one, what is missing, "
        "when the next is due, when the store will be full; what runs, what failed, which alarms are open. "
        "Works while a backup runs, and without a network. Exit code 1 when something is wrong.",
    )
    status.add_argument("--json", action="store_true", help="as JSON, for programs")
    status.set_defaults(verb=_status)

    watch = verbs.add_parser(
        "watch",
        help="look at everything once, and tell whoever has to know",
        description="Looks at everything once, and tells whoever has to know what is wrong, what is still "
        "wrong, and what is over. Its timer runs it.",
    )
    watch.set_defaults(verb=_watch)

    alert_test = verbs.add_parser(
        "alert-test",
        help="try out every way to tell you that something is wrong",
        description="Sends a test message to everybody who would be told, and pings the dead man's switch. "
        "Exit code 1 when one of them fails.",
    )
    alert_test.set_defaults(verb=_alert_test)

    export = verbs.add_parser(
        "export",
        help="write one backup into one file",
        description="Writes one backup into one encrypted file, on a USB disk for example, that opens with "
        "standard programs: age -d -i key.txt FILE | zstd -d | tar -x. FILE appears when it is whole.",
    )
    export.add_argument("destination", metavar="FILE", type=Path, help="the file to write; must not exist")
    export.add_argument("--backup", metavar="NAME", help="this one instead of the newest (see the verb list)")
    export.add_argument("--store", choices=["local", "drive"], help="only from this store")
    export.set_defaults(verb=_export)

    restore = verbs.add_parser(
        "restore",
        help="bring a backup back: database and files",
        description="Brings a backup back: loads database and files beside the live ones, compares them with "
        "the backup, and then switches. An interrupted restore is taken up by the same command.",
    )
    choice = restore.add_mutually_exclusive_group()
    choice.add_argument("--backup", metavar="NAME", help="this one (see the verb list)")
    choice.add_argument("--newest", action="store_true", help="the newest that is undamaged")
    restore.add_argument("--store", choices=["local", "drive"], help="only from this store")
    restore.add_argument("--unattended", action="store_true", help="ask nothing")
    restore.add_argument(
        "--replace-live-data", action="store_true", help="also when the live database holds data"
    )
    restore.set_defaults(verb=_restore)

    from loomio_backup import probe

    try_out = verbs.add_parser(
        "probe",
        help="can the stores really be written?",
        description="Stores a small object in each store, reads it back and removes it. Exit code 1 with the "
        "store's own reason where that does not work.",
    )
    probe.add_arguments(try_out)
    try_out.set_defaults(verb=probe.run_verb)

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
    rotate_key.set_defaults(verb=_rotate_key)

    from loomio_backup import decrypt

    open_ = verbs.add_parser(
        "decrypt",
        help="remove the encryption of one object, without any configuration",
        description="Removes the encryption of one object, and nothing else: what was compressed stays so. "
        "OUT appears only when IN proved to be whole and genuine.",
    )
    decrypt.add_arguments(open_)
    open_.set_defaults(verb=decrypt.run)

    version = verbs.add_parser("version", help="print the program's version")
    version.set_defaults(verb=_version)
    return parser


def _add_wait(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--wait", action="store_true", help="let another run finish first (without: fail while there is one)"
    )


def _label(text: str) -> str:
    if not re.fullmatch(LABEL, text):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no label: up to 40 of a-z, 0-9, - and _, not beginning with - or _"
        )
    return text


# Every verb imports what it needs: the libraries of one must not cost the others time and memory on a Pi.


def _opened(arguments: argparse.Namespace) -> tuple[Config, Credentials]:
    """What every verb begins with: the configuration, and where the credentials are."""
    settings = load(arguments.config)
    return settings, Credentials(settings.credentials_directory)


def _run(arguments: argparse.Namespace) -> int:
    from loomio_backup import backup

    settings, keys = _opened(arguments)
    backup.run(
        settings,
        keys,
        label=arguments.label,
        pin=arguments.pin,
        wait=arguments.wait,
    )
    return 0


def _list(arguments: argparse.Namespace) -> int:
    from loomio_backup import listing

    settings, keys = _opened(arguments)
    return listing.run(settings, keys, arguments.store, arguments.json)


def _show(arguments: argparse.Namespace) -> int:
    from loomio_backup import show

    settings, keys = _opened(arguments)
    return show.run(settings, keys, arguments.name, arguments.json)


def _check(arguments: argparse.Namespace) -> int:
    from loomio_backup import check

    settings, keys = _opened(arguments)
    scope = check.Scope(arguments.store, arguments.all, arguments.read_data)
    return check.run(settings, keys, scope, arguments.json)


def _prune(arguments: argparse.Namespace) -> int:
    from loomio_backup import pruning

    settings, keys = _opened(arguments)
    wish = pruning.Wish(
        store=arguments.store,
        dry_run=arguments.dry_run,
        resume=arguments.resume,
        as_json=arguments.json,
        wait=arguments.wait,
    )
    return pruning.run(settings, keys, wish)


def _pin(arguments: argparse.Namespace) -> int:
    from loomio_backup import pinning

    settings, keys = _opened(arguments)
    return pinning.pin(settings, keys, arguments.name, arguments.reason)


def _unpin(arguments: argparse.Namespace) -> int:
    from loomio_backup import pinning

    settings, keys = _opened(arguments)
    return pinning.unpin(settings, keys, arguments.name)


def _status(arguments: argparse.Namespace) -> int:
    from loomio_backup import status_text

    settings, keys = _opened(arguments)
    return status_text.run(settings, keys, arguments.json)


def _watch(arguments: argparse.Namespace) -> int:
    from loomio_backup import watch

    settings, keys = _opened(arguments)
    return watch.run(settings, keys)


def _alert_test(arguments: argparse.Namespace) -> int:
    from loomio_backup import alert_test

    settings, keys = _opened(arguments)
    return alert_test.run(settings, keys)


def _export(arguments: argparse.Namespace) -> int:
    from loomio_backup import export

    settings, keys = _opened(arguments)
    wish = export.Wish(arguments.destination, arguments.backup, arguments.store)
    return export.run(settings, keys, wish)


def _restore(arguments: argparse.Namespace) -> int:
    from loomio_backup import restore

    settings, keys = _opened(arguments)
    restore.run(
        settings,
        keys,
        restore.Wish(
            backup=arguments.backup,
            newest=arguments.newest,
            store=arguments.store,
            unattended=arguments.unattended,
            replace_live_data=arguments.replace_live_data,
        ),
    )
    return 0


def _rotate_key(arguments: argparse.Namespace) -> int:
    from loomio_backup import rotate

    settings, keys = _opened(arguments)
    return rotate.run(settings, keys, arguments.repack)


def _version(_: argparse.Namespace) -> int:
    say(f"loomio-backup {VERSION}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
