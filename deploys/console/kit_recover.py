"""`loomio-pi kit recover`: settings and secrets out of the newest backup, with nothing but the kit.

Of the old computer nothing is needed, and of the old Pi nothing. What is written is the two files that every
other command starts from; existing ones are never touched.
"""

import argparse
import os
import sys
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deploys.console import kit_proof, kit_secrets, kit_source
from deploys.console.kit_content import Kit
from deploys.console.kit_proof import Archive, Survey
from deploys.console.kit_settings import adapted, other_version
from deploys.console.kit_typing import identities, typed_kit
from deploys.steps.agent_config import SECRETS_FILE, SECRETS_WITHOUT_KEYS, SETTINGS_FILE
from deploys.steps.paths import OPERATOR
from inventories import secrets_file
from inventories.passphrase import new_passphrase, passphrase
from inventories.secrets import check_together, checked
from inventories.settings import Settings, display, load_every, one_of, settings_file, settings_in
from inventories.validation import SettingsError, parsed
from loomio_backup import clock
from loomio_backup.catalogue.manifest import Manifest
from loomio_backup.catalogue.objects import read_object
from loomio_backup.encryption import age_passphrase
from loomio_backup.errors import CheckError, CryptoError, WrongKey
from loomio_backup.progress import say, seconds_text

_TRIES = 5
_OPERATOR = f"files{OPERATOR}/"


@dataclass(frozen=True, repr=False)
class Contents:
    """What the config object of a backup holds for the operator, as text; None for what it lacks.
    `sealed`: the secrets file as it was, `open`: the one without keys, of a Pi with an offline key.
    """

    settings: str | None
    sealed: str | None
    open: str | None
    env: str | None


def add_options(parser: argparse.ArgumentParser) -> None:
    """What this verb takes."""
    kit_source.add_options(parser)
    parser.add_argument(
        "--address", metavar="ADDRESS", help="where the new Pi is, if not where the old one was"
    )
    parser.add_argument("--ssh-key", type=Path, metavar="FILE", help="the SSH key to log in to it with")
    parser.add_argument(
        "--forgotten-passphrase", action="store_true",
        help="nobody knows the passphrase: make a new secrets file, and say what could not be brought back",
    )  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """The verb. Returns the exit code; raises `SettingsError` and `AgentError`."""
    destination = settings_file()
    encrypted = secrets_file.secrets_file(destination)
    _refuse_existing(destination, encrypted)
    if options.ssh_key is not None and not options.ssh_key.is_file():
        raise SettingsError(f"{display(options.ssh_key)} is not there. Nothing was done.")
    # Before somebody types twenty lines for nothing.
    folder = kit_source.folder(options.folder) if options.folder else None
    typed = identities(options.identity) if options.identity else None
    kit = typed_kit()
    keys = typed or ([kit.identity] if kit.identity else [])
    if not keys:
        raise SettingsError(
            "The key is not on this page. Nothing was changed. Ask whoever holds it, and name the file that "
            "it is in with --identity FILE."
        )
    found = folder or kit_source.drive(kit, device=options.device, key_file=options.credentials)
    with Archive(found.store, keys, kit.signing_public_key) as archive:
        manifest, contents = _newest_contents(archive, keys)
        known = archive.keys.texts
    settings_text, said = _settings_text(contents, manifest, destination, options)
    settings = _validated(settings_text, destination, manifest)
    word, secrets_text = _secrets(contents, kit, known, settings, found, options)
    check_together(settings, checked(secrets_text, "the secrets", settings.name), display(encrypted))
    _write(destination, settings_text, encrypted, secrets_text, word)
    _tell(manifest, destination, encrypted, said, settings, contents, options)
    return 0


def _refuse_existing(*paths: Path) -> None:
    for path in paths:
        if path.exists() or path.is_symlink():
            raise SettingsError(
                f"{display(path)} exists already. Nothing was done, and nothing was overwritten. If it is "
                "the right one, the kit is not needed: type loomio-pi deploy disaster_recovery. If not, move "
                "it away, then run the same again."
            )


def _newest_contents(archive: Archive, keys: Sequence[str]) -> tuple[Manifest, Contents]:
    """The newest backup whose settings can be read; what is passed over is told."""
    survey = archive.survey()
    if not survey.backups:
        # Says what does not fit: there is no older one to take.
        kit_proof.require_newest(survey, keys)
    _tell_passed_over(survey)
    for manifest in survey.backups:
        try:
            return manifest, _contents(archive, manifest)
        except (CheckError, CryptoError, tarfile.TarError) as error:
            say(f"{manifest.name} is passed over: its settings cannot be read ({error})")
    raise CheckError(
        "Not one backup has settings that can be read. Nothing was changed, and the data may be whole all "
        "the same: see RECOVERY.md beside the backups."
    )


def _tell_passed_over(survey: Survey) -> None:
    for name in survey.may_be_newer([*survey.unsigned, *survey.closed, *survey.damaged]):
        why = (
            "it is not signed with the kit's signing key"
            if name in survey.unsigned
            else "the key does not open it; the kit may be older than the key"
            if name in survey.closed
            else survey.damaged[name]
        )
        say(f"{name} is passed over: {why}")


def _contents(archive: Archive, manifest: Manifest) -> Contents:
    entry = manifest.only("config")
    texts: dict[str, str] = {}
    with (
        read_object(archive.fetched(entry), archive.keys.identities) as source,
        tarfile.open(fileobj=source, mode="r|") as tar,
    ):
        for member in tar:
            wanted = member.name == "env" or member.name.startswith(_OPERATOR)
            content = tar.extractfile(member) if wanted and member.isfile() else None
            if content is not None:
                texts[member.name.removeprefix(_OPERATOR)] = content.read().decode("utf-8", "replace")
    return Contents(
        texts.get(SETTINGS_FILE), texts.get(SECRETS_FILE), texts.get(SECRETS_WITHOUT_KEYS), texts.get("env")
    )


def _settings_text(
    contents: Contents, manifest: Manifest, destination: Path, options: argparse.Namespace
) -> tuple[str, list[str]]:
    if contents.settings is None:
        raise SettingsError(
            f"{manifest.name} holds no settings. Nothing was changed. Write new ones as pi.example.yml shows "
            "it, and the key into a new secrets file: loomio-pi secrets init, then loomio-pi secrets edit"
        )
    return adapted(
        contents.settings,
        destination.parent,
        ssh_key=options.ssh_key,
        address=options.address,
        host=manifest.host,
    )


def _validated(text: str, destination: Path, manifest: Manifest) -> Settings:
    try:
        shown = "the settings in the backup"
        return one_of(settings_in(text, shown, destination.absolute().parent), shown, _name(text, manifest))
    except SettingsError as error:
        raise SettingsError(
            f"{error} Nothing was changed. They are of version {manifest.program_version} of this program: "
            "get that one or a newer one (git checkout), and run the same again."
        ) from None


def _name(text: str, manifest: Manifest) -> str | None:
    """The Pi that the backup is of, where the settings know it under that name."""
    hosts = parsed(text, "the settings in the backup").data["hosts"]
    return manifest.host if manifest.host in hosts else None


def _secrets(
    contents: Contents,
    kit: Kit,
    known: Sequence[str],
    settings: Settings,
    found: kit_source.Found,
    options: argparse.Namespace,
) -> tuple[str, str]:
    """(passphrase, text) of the new secrets file."""
    others = settings.encryption.extra_recipients
    if contents.open is not None:
        text = kit_secrets.completed(contents.open, known, others, found.credentials, settings.name)
        return new_passphrase(secrets_file.NAME), text
    if options.forgotten_passphrase or contents.sealed is None:
        if contents.env is None:
            raise SettingsError("The backup holds neither a secrets file nor an .env. Nothing was changed.")
        text = kit_secrets.rebuilt(contents.env, settings.name, kit, known, found.credentials)
        return new_passphrase(secrets_file.NAME), text
    word, text = _unsealed(contents.sealed)
    # The same passphrase: it is the one that people know, and that is written down somewhere.
    return word, kit_secrets.completed(text, known, others, found.credentials, settings.name)


def _unsealed(sealed: str) -> tuple[str, str]:
    """(passphrase, text); on a terminal, a wrong passphrase is asked for again."""
    shown = f"{secrets_file.NAME} in the backup"
    for left in range(_TRIES, 0, -1):
        word = passphrase(shown)
        try:
            return word, age_passphrase.decrypt(sealed.encode(), word, shown).decode()
        except WrongKey:
            if not sys.stdin.isatty() or left == 1:
                break
            print("  That is not the passphrase; try again.")
        except (CryptoError, UnicodeDecodeError):
            raise SettingsError(
                f"{shown} is damaged. Nothing was changed. Run the same again with --forgotten-passphrase."
            ) from None
    raise SettingsError(
        f"{shown} does not open with this passphrase. Nothing was changed. If nobody knows the right one, "
        "run the same again with --forgotten-passphrase."
    )


def _write(settings: Path, settings_text: str, encrypted: Path, secrets_text: str, word: str) -> None:
    """Both files or none."""
    secrets_file.write_new(encrypted, secrets_text, word)
    try:
        descriptor = os.open(settings, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(settings_text)
            load_every(settings)
        except BaseException:
            settings.unlink()
            raise
    except BaseException:
        encrypted.unlink()
        raise


def _tell(
    manifest: Manifest,
    settings_path: Path,
    encrypted: Path,
    said: Sequence[str],
    settings: Settings,
    contents: Contents,
    options: argparse.Namespace,
) -> None:
    age = seconds_text(max((clock.now() - manifest.snapshot_at).total_seconds(), 0))
    print(
        f"{display(settings_path)} and {display(encrypted)} are written, out of {manifest.name} ({age} old)."
    )
    for sentence in said:
        print(f"Changed: {sentence}.")
    if contents.open is None and (options.forgotten_passphrase or contents.sealed is None):
        print(f"Could not be brought back: {kit_secrets.LOST}")
    elif contents.open is not None:
        print(
            "The backups of a Pi with an offline key hold no former keys, no sudo password and no passphrase "
            "of the older scripts: put in what you need with: loomio-pi secrets edit"
        )
    if another := other_version(settings.stack.ref):
        print(another)
    host = next(iter(settings.hosts.values()))
    print(
        f"The new Pi is expected at {host.address}, with the user {host.user}. If that is not right, change "
        f"it in {display(settings_path)}.\nNext: loomio-pi deploy disaster_recovery"
    )
