"""`loomio-pi init`: asks what has to be known, tries it out, generates the rest, and writes it down.

What is there already is kept, so that it can be run again at any time.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from deploys.console import kit
from deploys.console.agent_here import Operator
from deploys.console.init_answers import Answers, File, of_person
from deploys.console.init_asking import Wishes, asked
from deploys.console.init_files import leaves, settings_text, write_new
from deploys.console.init_older import Older, older_stack
from deploys.console.init_questions import QUESTIONS
from inventories import secrets_file
from inventories.new_secrets import new_text
from inventories.passphrase import new_passphrase, passphrase
from inventories.secrets import check_together, checked
from inventories.secrets_edit import with_values
from inventories.settings import Settings, display, load_settings, one_of, settings_file, settings_in
from inventories.validation import SettingsError, parsed
from inventories.variables import PASSPHRASE_VARIABLE


def main(arguments: Sequence[str]) -> int:
    """The verb. Returns the exit code; raises `SettingsError` and `AgentError`."""
    parser = argparse.ArgumentParser(
        prog="loomio-pi init",
        description="Asks about your Pi, your Loomio, mail and Google Drive, tries the answers out, and "
        "writes the settings file and the encrypted secrets file. Keys and passwords are generated. "
        "Files that are there already are kept as they are.",
        epilog="LOOMIO_PI_SETTINGS names another settings file; LOOMIO_PI_PASSPHRASE_FILE a file (mode 0600) "
        "with the passphrase for the secrets, which is asked for otherwise.",
    )
    parser.add_argument(
        "--answers", type=Path, metavar="FILE", help="take the answers from a YAML file, and ask nobody"
    )
    parser.add_argument(
        "--untested", action="store_true", help="with --answers: write also what does not work (yet)"
    )
    parser.add_argument(
        "--import-env", type=Path, metavar="FILE",
        help="take over what an older stack's .env says, its keys and passwords, too",
    )  # fmt: skip
    options = parser.parse_args(arguments)
    older = older_stack(options.import_env) if options.import_env else Older()
    file = File(options.answers, QUESTIONS, untested=options.untested) if options.answers else None
    answers: Answers = file or of_person()
    path = settings_file()
    encrypted = secrets_file.secrets_file(path)
    if not path.exists():
        more = {**older.more, **(dict(leaves(file.more)) if file else {})}
        settings, word = _made(answers, path, encrypted, older, more)
    elif encrypted.exists():
        settings, word = load_settings(path), passphrase(display(encrypted), encrypted)
        print(f"{display(path)} and {display(encrypted)} are there, and are kept as they are.")
    else:
        settings, word = _secrets_only(path, encrypted)
    return _next(answers, settings, encrypted, word, alone=file is not None)


def _made(
    answers: Answers, path: Path, encrypted: Path, older: Older, more: dict[tuple[str, ...], Any]
) -> tuple[Settings, str]:
    """Both files, or only the settings where there are secrets; and the passphrase."""
    kept = encrypted.exists()
    word = _passphrase(encrypted) if kept or os.environ.get(PASSPHRASE_VARIABLE) else None
    if word is None and not sys.stdin.isatty():
        raise SettingsError(
            f"A passphrase for {display(encrypted)} is needed. Nothing was written. Name a file that holds "
            f"it in {PASSPHRASE_VARIABLE} (mode 0600), or run this on a terminal."
        )
    before = secrets_file.decrypted(encrypted, word) if kept and word else None
    wishes = asked(answers, more, older)
    text = settings_text(wishes.name, wishes.settings, path.parent)
    shown = display(path)
    settings = one_of(settings_in(text, shown, path.absolute().parent), shown, wishes.name)
    secrets = _secrets_text(before, wishes)
    checked(secrets, display(encrypted), wishes.name)
    word = word or new_passphrase(display(encrypted))
    if before is None:
        secrets_file.write_new(encrypted, secrets, word)
    try:
        write_new(path, text)
    except BaseException:
        if before is None:
            encrypted.unlink()
        raise
    if before is not None and secrets != before:
        secrets_file.replace(encrypted, secrets, word)
    made = f"{display(encrypted)}, with new keys and passwords" if before is None else ""
    print(f"Written: {shown}{f' and {made}' if made else ''}.")
    if before is not None:
        print(f"{display(encrypted)} was there: what was in it is kept.")
    return settings, word


def _passphrase(encrypted: Path) -> str:
    shown = display(encrypted)
    return passphrase(shown, encrypted) if encrypted.exists() else new_passphrase(shown)


def _secrets_text(before: str | None, wishes: Wishes) -> str:
    """New secrets, or those that are there with what they lack."""
    values = {path: value for path, value in wishes.secrets.items() if value is not None}
    if before is None:
        return with_values(new_text([wishes.name]), values)
    known = dict(leaves(_data(before)))
    return with_values(before, {path: value for path, value in values.items() if not _has(known, path)})


def _data(text: str) -> dict[str, Any]:
    data = parsed(text, "the secrets", secret=True).data
    return data if isinstance(data, dict) else {}


def _has(known: dict[tuple[str, ...], Any], path: tuple[str, ...]) -> bool:
    return any(one[: len(path)] == path and value not in (None, [], {}) for one, value in known.items())


def _secrets_only(path: Path, encrypted: Path) -> tuple[Settings, str]:
    settings = load_settings(path)
    word = new_passphrase(display(encrypted))
    secrets_file.write_new(encrypted, new_text(settings.hosts), word)
    print(
        f"{display(path)} is there, and is kept as it is. {display(encrypted)} is made, with new keys and "
        "passwords."
    )
    return settings, word


def _next(answers: Answers, settings: Settings, encrypted: Path, word: str, *, alone: bool) -> int:
    """Get what is still missing, offer the kit, and say what to type next."""
    print(f"Keep a copy of {display(encrypted)}, and its passphrase, where neither burns with the Pi.")
    secrets = checked(secrets_file.decrypted(encrypted, word), display(encrypted), settings.name)
    if settings.backup.drive and secrets.drive.credentials is None:
        print(
            "Access to your Google Drive is still missing.\nNext: loomio-pi authorize (for a service "
            "account, put its JSON key in as drive.credentials, with loomio-pi secrets edit)"
        )
        return 0
    try:
        check_together(settings, secrets, display(encrypted))
    except SettingsError as error:
        print(f"Still missing: {error}")
        return 0
    if answers.ask(QUESTIONS["kit"], "no" if alone else "yes"):
        kit.print_kit(Operator(settings.name, settings, secrets), Path(kit.FILE))
    print("Next: loomio-pi deploy setup")
    return 0
