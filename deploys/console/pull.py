"""`loomio-pi pull`: a checked copy of the backups on this machine, outside the Google account and the Pi."""

import argparse
import contextlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from deploys.console.agent_here import Operator
from deploys.console.pull_copy import Copy, Report
from deploys.console.pull_histories import Keys, Source
from deploys.console.pull_ssh import PiStore
from inventories.settings import display
from inventories.validation import SettingsError
from loomio_backup import clock
from loomio_backup.backup import bundle, recovery_md
from loomio_backup.catalogue.manifest import Manifest, is_manifest
from loomio_backup.catalogue.objects import as_it_is, read_object
from loomio_backup.config import LocalStore, Stores
from loomio_backup.credentials import IDENTITY
from loomio_backup.encryption import crypto, keyring
from loomio_backup.errors import CryptoError, StoreError
from loomio_backup.progress import bytes_text, say, seconds_text
from loomio_backup.retention import pruning
from loomio_backup.state import StateDirectory, write_private
from loomio_backup.stores.drive import DriveFolder
from loomio_backup.stores.local import LocalFolder

OURS = ".loomio-pi"
"""The folder inside the copy that is ours alone: no store shows hidden names."""


def main(arguments: Sequence[str]) -> int:
    """The verb. Returns the exit code; raises `SettingsError` and `AgentError`."""
    parser = argparse.ArgumentParser(
        prog="loomio-pi pull",
        description="Copies every backup that is not here yet, and checks all of them against their signed "
        "manifests. Nothing is ever removed here because it is gone at the source: whoever takes over the Pi "
        "or the Google account cannot reach this copy. It is an ordinary local store: loomio-backup restores "
        "from it.",
    )
    parser.add_argument(
        "directory", nargs="?", type=Path, metavar="DIRECTORY",
        help="where the copy is (default: pull.directory of the settings, or ./backups/ and the Pi's name)",
    )  # fmt: skip
    parser.add_argument(
        "--from", dest="place", choices=["drive", "pi"],
        help="where to copy from (default: Google Drive when it is turned on, else the Pi's own store)",
    )  # fmt: skip
    parser.add_argument(
        "--read-data", action="store_true", help="read and compare everything that is here already, too"
    )
    parser.add_argument(
        "--prune",
        action="store_true",
        help="afterwards remove here what the settings' retention does not keep",
    )
    options = parser.parse_args(arguments)
    operator = Operator.at_hand()
    place = options.place or ("drive" if operator.settings.backup.drive else "pi")
    directory = copy_directory(options.directory, operator)
    with _source(place, operator) as source:
        say(f"copying from {source if place == 'pi' else 'Google Drive'} to {display(directory)}")
        report = fetch(source, directory, operator, read_data=options.read_data)
    tell(report.problems)
    if report.problems:
        if options.prune:
            print("loomio-pi: nothing was pruned here, because of that.", file=sys.stderr)
        return 1
    if options.prune:
        config = operator.config(_kept(directory, place, operator), directory / OURS)
        return pruning.run(config, operator.credentials(), pruning.Wish(store="local"))
    return 0


def copy_directory(given: Path | None, operator: Operator) -> Path:
    """Where the copy is. Raises `SettingsError` for a folder that holds something else."""
    directory = given or operator.settings.pull.directory or Path("backups") / operator.name
    try:
        names = [path.name for path in directory.iterdir()]
    except FileNotFoundError:
        names = []
    except OSError as error:
        raise SettingsError(
            f"{display(directory)} cannot be used for the copy: {error.strerror}. Nothing was done. Name "
            "another folder."
        ) from None
    if names and OURS not in names and not any(map(is_manifest, names)):
        raise SettingsError(
            f"{display(directory)} holds other things than backups. Nothing was done. Name a folder of its "
            "own for the copy; it is made where it is absent."
        )
    return directory.absolute()


@contextlib.contextmanager
def _source(place: str, operator: Operator) -> Iterator[Source]:
    backup, secrets = operator.settings.backup, operator.secrets
    if place == "drive":
        drive = operator.on_the_pi().stores.drive
        if drive is None or secrets.drive.credentials is None:
            raise SettingsError(
                "Google Drive (backup.drive) is not turned on in the settings. Nothing was done. To copy "
                "from the Pi itself: loomio-pi pull --from pi"
            )
        yield DriveFolder(drive, secrets.drive.credentials)
        return
    if backup.local is None:
        raise SettingsError(
            "The Pi keeps no store of its own (backup.local is off in the settings). Nothing was done. To "
            "copy from Google Drive: loomio-pi pull --from drive"
        )
    host = secrets.hosts.get(operator.name)
    word = host.sudo_password.get_secret_value() if host and host.sudo_password else None
    with PiStore(operator.name, operator.settings.hosts[operator.name], backup.local.path, word) as pi:
        yield pi


def keys_of(operator: Operator) -> Keys:
    """What opens the backups, and what their manifests are signed with."""
    config, credentials = operator.on_the_pi(), operator.credentials()
    return Keys(
        crypto.parse_identities(credentials.required(IDENTITY)),
        (config.signing_public_key, *config.old_signing_public_keys),
    )


def fetch(
    source: Source, directory: Path, operator: Operator, *, read_data: bool, lists_lag: bool = True
) -> Report:
    """Bring everything that the source has into the copy, and say what came. `lists_lag`: what the source
    lists may be behind what it holds.
    """
    keys = keys_of(operator)
    state = StateDirectory(directory / OURS)
    incoming = state.path / "incoming"
    incoming.mkdir(mode=0o700, exist_ok=True)
    with state.locked("pull"):
        copy = Copy(source, directory, incoming, keys, lists_lag=lists_lag)
        try:
            report = copy.pull(read_data)
        except StoreError:
            tell(copy.report.problems)  # found before it ended, and as true as without that
            raise
        if (ring := operator.secrets.encryption.keyring) is not None:
            _put_keyring(ring, directory, incoming)
        if (newest := report.newest) is not None:
            try:
                _write_page(newest, directory, keys)
            except CryptoError as error:
                report.problems.append(
                    f"RECOVERY.md in the copy was not written anew: {error} To find and mend what is damaged "
                    "here, type: loomio-pi pull --read-data"
                )
    said = "No backup is complete here." if newest is None else f"The newest is {_described(newest)}."
    say(
        f"{len(report.backups)} backups are complete here. {said} {report.fetched} objects "
        f"({bytes_text(report.fetched_bytes)}) were fetched."
    )
    return report


def tell(problems: Sequence[str]) -> None:
    """Print sentences for somebody to read."""
    for problem in problems:
        print(f"loomio-pi: {problem}", file=sys.stderr)


def _described(manifest: Manifest) -> str:
    age = (clock.now() - manifest.snapshot_at).total_seconds()
    return f"{manifest.name}, {seconds_text(max(age, 0))} old"


def _put_keyring(text: str, directory: Path, incoming: Path) -> None:
    """The keyring as every store has it; from the secrets, which nobody at the source could change."""
    data = text.strip().encode() + b"\n"
    path = incoming / keyring.object_name(data)
    path.write_bytes(data)
    LocalFolder(directory).put(path.name, path, as_it_is(path))
    path.unlink()


def _write_page(newest: Manifest, directory: Path, keys: Keys) -> None:
    """RECOVERY.md, written here: the source's one says what whoever was there last wanted it to say."""
    with read_object(directory / newest.only("config").name, keys.identities) as source:
        properties = bundle.read(source).properties
    write_private(directory / "RECOVERY.md", recovery_md.recovery_text(newest, properties))


def _kept(directory: Path, place: str, operator: Operator) -> Stores:
    """The copy as the agent's local store, with the retention of where it comes from."""
    stores = operator.on_the_pi().stores
    origin = stores.drive if place == "drive" else stores.local
    assert origin is not None
    return Stores(local=LocalStore(path=directory, retention=origin.retention))
