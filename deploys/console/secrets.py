"""`loomio-pi secrets …`: the encrypted secrets file, made, shown, edited, its key or passphrase changed."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from deploys.console import secrets_edit, secrets_hosts, secrets_passphrase, secrets_rotate, secrets_show
from inventories import secrets_file
from inventories.new_secrets import new_text
from inventories.passphrase import new_passphrase
from inventories.settings import display, load_every, settings_file
from inventories.validation import SettingsError


def main(arguments: Sequence[str]) -> int:
    """The verb. Returns the exit code; raises `SettingsError`."""
    options = _parser().parse_args(arguments)
    path = secrets_file.secrets_file(settings_file())
    match options.verb:
        case "init":
            return _init(path)
        case "edit":
            return secrets_edit.edit(path)
        case "show":
            return secrets_show.show(path, options.reveal)
        case "rekey":
            return secrets_passphrase.rekey(path, options.new_passphrase_file)
        case "remember":
            return secrets_passphrase.remember(path)
        case "forget":
            return secrets_passphrase.forget(path)
        case "add-host":
            return secrets_hosts.add(path, options.name)
        case _:
            return secrets_rotate.rotate(path, options.signing_key)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="loomio-pi secrets",
        description="Your secrets are in secrets.yml.age beside the settings file, behind your passphrase.",
        epilog="LOOMIO_PI_SETTINGS names another settings file; LOOMIO_PI_PASSPHRASE_FILE a file (mode 0600) "
        "with the passphrase. Without that the system's keyring is asked for it, then you are.",
    )
    verbs = parser.add_subparsers(required=True, metavar="VERB", dest="verb")
    verbs.add_parser("init", help="generate every key and password into a new file")
    verbs.add_parser("edit", help="open the decrypted text in $EDITOR, check it, encrypt it again")
    show = verbs.add_parser(
        "show",
        help="list what is in the file, without the secrets themselves",
        description="Lists every secret by name and says whether it is there. What it is stays hidden.",
    )
    show.add_argument(
        "--reveal",
        metavar="NAME",
        help="print only this secret, such as app.smtp_password",
    )
    rekey = verbs.add_parser(
        "rekey",
        help="change the passphrase of the file; keys and passwords in it stay",
        description="Encrypts the file with another passphrase. Copies of it that lie elsewhere, also those "
        "in backups that exist already, still open with the former one.",
    )
    rekey.add_argument(
        "--new-passphrase-file", type=Path, metavar="FILE",
        help="a file (mode 0600) with the new passphrase, which is asked for otherwise",
    )  # fmt: skip
    rotate = verbs.add_parser(
        "rotate-key",
        help="make a new key for the backups; the older ones stay openable",
        description="Makes a new key (age identity) for the backups. The former one stays in the file, and a "
        "keyring in every store opens the older backups with the new key.",
    )
    rotate.add_argument("--signing-key", action="store_true", help="make a new signing key, too")
    add = verbs.add_parser("add-host", help="generate the keys of one more Pi into the file")
    add.add_argument("name", metavar="NAME", help="what the settings call the Pi, below hosts")
    verbs.add_parser("remember", help="put the passphrase into the system's keyring")
    verbs.add_parser("forget", help="remove it from there")
    return parser


def _init(path: Path) -> int:
    shown = display(path)
    if path.exists() or path.is_symlink():
        raise SettingsError(
            f"The secrets file {shown} exists already and was left as it is. Change it with: loomio-pi "
            "secrets edit"
        )
    settings = settings_file()
    hosts = list(load_every(settings)) if settings.exists() else []
    text = new_text(hosts)
    for name in hosts[1:]:
        text = secrets_hosts.with_host(text, name)
    secrets_file.write_new(path, text, new_passphrase(shown))
    print(
        f"{shown} is made, with new keys and passwords.\n"
        "Keep a copy of it, and the passphrase, where neither burns with the Pi: together they open the "
        "backups.\n"
        "Next, for Google Drive, mail or a sudo password: loomio-pi secrets edit\n"
        "When all of that is in it, print the recovery kit: loomio-pi kit"
    )
    return 0
