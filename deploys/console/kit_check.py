"""`loomio-pi kit check`: proves that what is on paper opens the newest backup, before it has to.

What is tried is what was typed, never the key in the secrets file: that one works, as every setup shows.
"""

import argparse
from collections.abc import Sequence

from deploys.console import kit_proof, kit_record, kit_source
from deploys.console.agent_here import Operator
from deploys.console.kit_content import MEANINGS, Kit, fingerprint_of_key
from deploys.console.kit_proof import Archive
from deploys.console.kit_typing import identities, typed_kit
from inventories.settings import settings_file
from inventories.validation import SettingsError
from loomio_backup.errors import CheckError


def add_options(parser: argparse.ArgumentParser) -> None:
    """What this verb takes."""
    kit_source.add_options(parser)
    parser.add_argument(
        "--login", action="store_true",
        help="sign in to Google with the kit's own OAuth client, and do not use the access in the secrets",
    )  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """The verb. Returns the exit code; raises `SettingsError` and `AgentError`: the sentence says what does
    not fit.
    """
    alone = bool(options.folder or options.login or options.device or options.credentials)
    # Asked for first: nobody wants to type twenty lines for a wrong passphrase.
    operator = None if alone else Operator.at_hand()
    folder = kit_source.folder(options.folder) if options.folder else None
    owned = identities(options.identity) if options.identity else None
    kit = typed_kit()
    keys = owned or ([kit.identity] if kit.identity else [])
    if not keys:
        raise SettingsError(
            "The key is not on this page. Nothing was changed. Name the file that it is in with --identity "
            "FILE."
        )
    if operator is not None:
        found = _at_hand(kit, operator)
    else:
        found = folder or kit_source.drive(kit, device=options.device, key_file=options.credentials)
    with Archive(found.store, keys, kit.signing_public_key) as archive:
        manifest = kit_proof.require_newest(archive.survey(), keys)
        proven = archive.prove(manifest)
    print(
        f"The kit is right: what you typed opens {manifest.name}, the newest backup in {found.name}, and its "
        f"signature is this Loomio's. {len(proven)} objects were opened, one for each key that it needs."
    )
    _note(keys, manifest.name)
    return 0


def _at_hand(kit: Kit, operator: Operator) -> kit_source.Found:
    """The Drive folder with the access in the secrets, when the kit says the same about it."""
    credentials = operator.secrets.drive.credentials
    if operator.settings.backup.drive is None or credentials is None:
        raise SettingsError(
            "The backups are not in Google Drive. Nothing was changed. Try the kit on a copy of them, which "
            "loomio-pi pull makes: loomio-pi kit check --from FOLDER"
        )
    present = Kit.of(operator.settings, operator.secrets)
    wrong = [letter for letter in kit.differences(present) if letter != "S"]
    if wrong:
        said = ", ".join(f"{letter} ({MEANINGS[letter]})" for letter in wrong)
        raise CheckError(
            f"What the kit says in the lines {said} is not what settings and secrets say now: it was changed "
            "since the kit was printed. Nothing was changed. Print a new one with: loomio-pi kit"
        )
    return kit_source.opened(present, credentials)


def _note(keys: Sequence[str], backup: str) -> None:
    """Remember the date beside the settings, where there are some."""
    file = settings_file()
    if not file.exists():
        return
    if not kit_record.note_checked(file, keys[0], backup):
        print(
            f"It is not the key of the kit that was printed here ({fingerprint_of_key(keys[0])} is another "
            "one's), so the date of that kit's last check stays as it was."
        )
