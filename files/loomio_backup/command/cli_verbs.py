"""The verbs: what was typed, handed to the module that does it. A table of contents."""

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING

from loomio_backup.config import Config, load
from loomio_backup.credentials import Credentials
from loomio_backup.progress import say
from loomio_backup.version import VERSION

if TYPE_CHECKING:
    from loomio_backup.restore.restore_choice import Wish

Verb = Callable[[argparse.Namespace], int]

# Every verb imports what it needs: the libraries of one must not cost the others time and memory on a Pi.


def _opened(arguments: argparse.Namespace) -> tuple[Config, Credentials]:
    """What every verb begins with: the configuration, and where the credentials are."""
    settings = load(arguments.config)
    return settings, Credentials(settings.credentials_directory)


def _run(arguments: argparse.Namespace) -> int:
    from loomio_backup.backup import backup

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
    from loomio_backup.command import listing

    settings, keys = _opened(arguments)
    return listing.run(settings, keys, arguments.store, arguments.json)


def _show(arguments: argparse.Namespace) -> int:
    from loomio_backup.command import show

    settings, keys = _opened(arguments)
    return show.run(settings, keys, arguments.name, arguments.json)


def _check(arguments: argparse.Namespace) -> int:
    from loomio_backup.catalogue import check

    settings, keys = _opened(arguments)
    scope = check.Scope(arguments.store, arguments.all, arguments.read_data, arguments.expect_newer_than)
    return check.run(settings, keys, scope, arguments.json)


def _verify(arguments: argparse.Namespace) -> int:
    from loomio_backup.drill import verify

    settings, keys = _opened(arguments)
    wish = verify.Wish(
        store=arguments.store,
        backup=arguments.backup,
        sample=arguments.sample,
        as_json=arguments.json,
        wait=arguments.wait,
    )
    return verify.run(settings, keys, wish)


def _prune(arguments: argparse.Namespace) -> int:
    from loomio_backup.retention import pruning

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
    from loomio_backup.retention import pinning

    settings, keys = _opened(arguments)
    return pinning.pin(settings, keys, arguments.name, arguments.reason)


def _unpin(arguments: argparse.Namespace) -> int:
    from loomio_backup.retention import pinning

    settings, keys = _opened(arguments)
    return pinning.unpin(settings, keys, arguments.name)


def _status(arguments: argparse.Namespace) -> int:
    from loomio_backup.monitoring import status_text

    settings, keys = _opened(arguments)
    return status_text.run(settings, keys, arguments.json)


def _report(arguments: argparse.Namespace) -> int:
    from loomio_backup.report import report

    settings, keys = _opened(arguments)
    return report.run(settings, keys, arguments.output)


def _watch(arguments: argparse.Namespace) -> int:
    from loomio_backup.monitoring import watch

    settings, keys = _opened(arguments)
    return watch.run(settings, keys)


def _alert_test(arguments: argparse.Namespace) -> int:
    from loomio_backup.monitoring import alert_test

    settings, keys = _opened(arguments)
    return alert_test.run(settings, keys)


def _export(arguments: argparse.Namespace) -> int:
    from loomio_backup.command import export

    settings, keys = _opened(arguments)
    wish = export.Wish(arguments.destination, arguments.backup, arguments.store)
    return export.run(settings, keys, wish)


def _restore(arguments: argparse.Namespace) -> int:
    from loomio_backup.restore import restore, restore_older

    settings, keys = _opened(arguments)
    wish = restore.Wish(
        backup=arguments.backup,
        newest=arguments.newest,
        before=arguments.before,
        expect_newer_than=arguments.expect_newer_than,
        store=arguments.store,
        parts=(arguments.only,) if arguments.only else restore.BOTH,
        unattended=arguments.unattended,
        replace_live_data=arguments.replace_live_data,
        leave_stopped=arguments.leave_stopped,
        leave_other_version_stopped=arguments.leave_other_version_stopped,
        streaming=arguments.streaming,
        id=arguments.wish,
    )
    if arguments.older:
        restore_older.run(settings, keys, arguments.older, wish, wait=arguments.wait)
    else:
        restore.run(settings, keys, wish, wait=arguments.wait)
    return 0


def _chosen(arguments: argparse.Namespace) -> "Wish":
    from loomio_backup.restore.restore_choice import Wish

    newest = arguments.backup is None and arguments.before is None
    return Wish(backup=arguments.backup, newest=newest, before=arguments.before, store=arguments.store)


def _extract(arguments: argparse.Namespace) -> int:
    from loomio_backup.restore import part

    settings, keys = _opened(arguments)
    wanted = part.Part(arguments.file, arguments.table, arguments.destination)
    return part.run(settings, keys, _chosen(arguments), wanted)


def _open(arguments: argparse.Namespace) -> int:
    from loomio_backup.restore import beside

    settings, keys = _opened(arguments)
    return beside.close(settings) if arguments.close else beside.run(settings, keys, _chosen(arguments))


def _undo(arguments: argparse.Namespace) -> int:
    from loomio_backup.restore import undo

    settings, _ = _opened(arguments)
    if arguments.forget:
        return undo.forget(settings, arguments.unattended)
    return undo.run(settings, arguments.unattended, arguments.leave_stopped)


def _settle(arguments: argparse.Namespace) -> int:
    from loomio_backup.restore import settle

    settings, keys = _opened(arguments)
    return settle.run(settings, keys)


def _update(arguments: argparse.Namespace) -> int:
    from loomio_backup.update import update

    settings, keys = _opened(arguments)
    if arguments.back:
        return update.back(settings)
    wish = update.Wish(
        loomio=arguments.loomio,
        postgres=arguments.postgres,
        redis=arguments.redis,
        rehearse=not arguments.no_rehearsal,
        wait=arguments.wait,
    )
    return update.run(settings, keys, wish)


def _candidate(arguments: argparse.Namespace) -> int:
    from loomio_backup.restore import candidate

    settings, keys = _opened(arguments)
    wish = candidate.Wish(arguments.store, arguments.backup, arguments.lent_identity, arguments.json)
    return candidate.run(settings, keys, wish)


def _rotate_key(arguments: argparse.Namespace) -> int:
    from loomio_backup.encryption import rotate

    settings, keys = _opened(arguments)
    return rotate.run(settings, keys, arguments.repack)


def _version(_: argparse.Namespace) -> int:
    say(f"loomio-backup {VERSION}")
    return 0


def _probe(arguments: argparse.Namespace) -> int:
    from loomio_backup.monitoring import probe

    return probe.run_verb(arguments)


def _decrypt(arguments: argparse.Namespace) -> int:
    from loomio_backup.command import decrypt

    return decrypt.run(arguments)


VERBS: dict[str, Verb] = {
    "run": _run,
    "list": _list,
    "show": _show,
    "check": _check,
    "verify": _verify,
    "prune": _prune,
    "pin": _pin,
    "unpin": _unpin,
    "status": _status,
    "report": _report,
    "watch": _watch,
    "alert-test": _alert_test,
    "export": _export,
    "restore": _restore,
    "undo": _undo,
    "settle": _settle,
    "extract": _extract,
    "open": _open,
    "candidate": _candidate,
    "update": _update,
    "probe": _probe,
    "rotate-key": _rotate_key,
    "decrypt": _decrypt,
    "version": _version,
}
