"""`loomio-pi kit recover`: the kit, the passphrase and a Google login give settings and secrets back."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from deploys.console.kit_settings import adapted, other_version
from deploys.console.secrets_rotate import rotated
from inventories.secrets import Secrets, checked
from inventories.secrets_file import decrypted
from inventories.settings import ROOT, load_settings
from inventories.validation import SettingsError
from loomio_backup.encryption import crypto, keyring
from tests.unit import operator_desk
from tests.unit.kit_bench import EMAIL, Old, sentence, type_kit
from tests.unit.operator_desk import PASSPHRASE, Desk
from tests.unit.pull_bench import digests_of_file, flip


def recovered(desk: Desk) -> Secrets:
    return checked(decrypted(desk.secrets, PASSPHRASE), "x")


def without_drive(secrets: Secrets) -> dict[str, object]:
    return secrets.model_dump(exclude={"drive"})


def test_the_way_back_from_paper(old: Old, new: Desk) -> None:
    old.back_up()
    newest = old.back_up()
    done = type_kit(new, old.print_kit().typed, "recover")
    assert (done.code, done.stderr) == (0, ""), done
    assert f"secrets.yml.age are written, out of {newest} (" in done.stdout
    assert done.stdout.endswith("\nNext: loomio-pi deploy disaster_recovery\n")
    # Settings to the letter, comments included; secrets, too, but for the fresh access to Drive.
    assert (new.folder / "pi.yml").read_text() == old.settings
    found = recovered(new)
    assert without_drive(found) == without_drive(old.secrets)
    assert found.drive.credentials is not None
    assert found.drive.credentials["client_id"] == old.credentials["client_id"]
    assert found.drive.credentials["refresh_token"] != old.credentials["refresh_token"]
    assert "from the old days  # mine" in decrypted(new.secrets, PASSPHRASE)
    assert stat.S_IMODE(new.secrets.stat().st_mode) == 0o600
    # The access is good, and both files are what every other command starts from.
    drive = load_settings(new.folder / "pi.yml").backup.drive
    assert drive is not None
    assert list(old.bench.store(found.drive.credentials, folder_name=drive.folder_name).list())
    assert new.type("loomio-pi", "kit", "status").code == 1
    for text in (done.stdout, done.stderr):
        assert old.identity[-20:] not in text and found.drive.credentials["refresh_token"] not in text


def test_nothing_that_exists_is_overwritten(old: Old, new: Desk) -> None:
    for name in ("pi.yml", "secrets.yml.age"):
        (new.folder / name).write_text("mine")
        said = sentence(type_kit(new, "", "recover"))
        assert "exists already. Nothing was done, and nothing was overwritten." in said
        assert (new.folder / name).read_text() == "mine"
        (new.folder / name).unlink()


def test_from_a_folder_without_google(old: Old, new: Desk) -> None:
    old.back_up()
    done = type_kit(new, old.print_kit().typed, "recover", "--from", str(old.pi.folder))
    assert (done.code, done.stderr) == (0, "")
    assert recovered(new) == old.secrets


def test_a_wrong_passphrase_changes_nothing(old: Old, new: Desk) -> None:
    old.back_up()
    paper = old.print_kit().typed
    (new.folder / "passphrase").write_text("not the passphrase at all\n")
    said = sentence(type_kit(new, paper, "recover", "--from", str(old.pi.folder)))
    assert said == (
        "secrets.yml.age in the backup does not open with this passphrase. Nothing was changed. If nobody "
        "knows the right one, run the same again with --forgotten-passphrase."
    )
    assert [path.name for path in new.folder.iterdir()] == ["passphrase"]


def test_on_a_terminal_the_passphrase_is_asked_for_again(old: Old, new: Desk) -> None:
    old.back_up()
    answers = {}
    for line in old.print_kit().typed.splitlines():
        label, text = line.split(" ", 1)
        answers[f"  {label}: "] = text
    answers |= {
        "Passphrase of secrets.yml.age in the backup": "wrong",
        "try again.\r\nPassphrase of secrets.yml.age in the backup": PASSPHRASE,
    }
    done = new.type_on_terminal(
        "loomio-pi", "kit", "recover", "--from", str(old.pi.folder),
        answers=answers, LOOMIO_PI_PASSPHRASE_FILE=None,
    )  # fmt: skip
    assert done.code == 0, done.stdout
    assert recovered(new) == old.secrets
    assert PASSPHRASE not in done.stdout


def test_a_forgotten_passphrase(old: Old, new: Desk) -> None:
    """The data still comes back: Loomio's own secrets are in .env, the key is on the paper."""
    newest = old.back_up()
    (new.folder / "passphrase").write_text("a new one that we know\n")
    paper = old.print_kit().typed
    done = type_kit(new, paper, "recover", "--forgotten-passphrase")
    assert (done.code, done.stderr) == (0, "")
    assert newest in done.stdout and "Could not be brought back: the signing key (a new one" in done.stdout
    found = checked(decrypted(new.secrets, "a new one that we know"), "x")
    assert found.app == old.secrets.app
    assert found.encryption.identity == old.secrets.encryption.identity
    former = old.secrets.encryption.signing_key.get_secret_value()
    assert found.encryption.signing_key.get_secret_value() != former
    # What the former one signed is still believed.
    assert found.encryption.old_signing_public_keys == [crypto.signing_public_key(former)]
    assert crypto.recipient_of(old.identity) in decrypted(new.secrets, "a new one that we know")


def test_an_offline_key_comes_from_the_paper(old: Old, new: Desk) -> None:
    """The backups of such a Pi hold the secrets without the key, and in no file with a passphrase."""
    from deploys.steps.agent_config import operator_files
    from deploys.steps.paths import OPERATOR

    old.write_settings(old.settings + "encryption:\n  offline_key: true\n")
    paths = {"pi.yml": old.desk.folder / "pi.yml", "secrets.yml.age": old.desk.secrets}
    files = operator_files(load_settings(paths["pi.yml"]), old.secrets, paths)
    old.pi.config = {f"files{OPERATOR}/{name}": text for name, text in files.items() if text}
    assert not [name for name in old.pi.config if name.endswith(".age")]
    old.back_up()
    done = type_kit(new, old.print_kit().typed, "recover")
    assert (done.code, done.stderr) == (0, ""), done
    found = recovered(new)
    assert found.encryption == old.secrets.encryption
    assert found.app == old.secrets.app
    assert (new.folder / "pi.yml").read_text() == old.settings


def test_the_newest_is_passed_over_when_it_is_damaged(old: Old, new: Desk) -> None:
    older = old.back_up()
    newest = old.back_up()
    path = old.pi.folder / f"{newest}.config.tar.zst.age"
    flip(path)
    old.store.delete(next(one for one in old.store.list() if one.name == path.name))
    old.store.put(path.name, path, digests_of_file(path))
    done = type_kit(new, old.print_kit().typed, "recover")
    assert done.code == 0, done.stderr
    assert f"{newest} is passed over: its settings cannot be read" in done.stdout
    assert f"are written, out of {older} (" in done.stdout


def test_another_loomio_s_kit(old: Old, new: Desk, tmp_path: Path) -> None:
    newest = old.back_up()
    other = Old(tmp_path / "other", old.bench)
    said = sentence(type_kit(new, other.print_kit().typed, "recover", "--from", str(old.pi.folder)))
    assert "does not open " + newest in said
    assert [path.name for path in new.folder.iterdir()] == ["passphrase"]


def test_the_login_is_denied(old: Old, new: Desk) -> None:
    old.back_up()
    browser = f"{sys.executable} -m tests.lab.drive.browser --email {EMAIL} --deny %s"
    said = sentence(type_kit(new, old.print_kit().typed, "recover", BROWSER=browser))
    assert said.startswith("Access was denied in the browser. Nothing was changed.")


def test_a_second_person_with_a_key_of_their_own(old: Old, new: Desk) -> None:
    theirs = crypto.generate_identity()
    (new.folder / "colleague.txt").write_text(theirs + "\n")
    recipient = crypto.recipient_of(theirs)
    old.write_settings(old.settings + f"encryption:\n  extra_recipients: [{recipient}]\n")
    old.pi.others = [recipient]
    old.back_up()
    paper = old.print_kit("--without-key").typed
    done = type_kit(new, paper, "recover", "--identity", str(new.folder / "colleague.txt"))
    assert (done.code, done.stderr) == (0, "")
    # The operator's key stays the operator's.
    assert recovered(new).encryption == old.secrets.encryption


def test_a_service_account_needs_a_new_key_file(old: Old, new: Desk) -> None:
    account = old.bench.lab.register_service_account()
    shared = old.bench.lab.register_shared_drive("Group", {account["client_email"]: "organizer"})
    settings = old.settings.replace("  drive:\n", f"  drive:\n    shared_drive_id: {shared}\n")
    old.write_settings(settings)
    old.change_secrets({("drive", "credentials"): account})
    old.store = old.bench.store(account, folder_name=old.folder_name, shared_drive_id=shared)
    old.back_up()
    paper = old.print_kit().typed
    said = sentence(type_kit(new, paper, "recover"))
    assert "Make a new JSON key for it in the Google Cloud console" in said
    said = sentence(type_kit(new, paper, "recover", "--credentials", str(new.folder / "passphrase")))
    assert "is not the JSON key of a service account. Nothing was changed." in said
    (new.folder / "key.json").write_text(json.dumps(account))
    done = type_kit(new, paper, "recover", "--credentials", str(new.folder / "key.json"))
    assert (done.code, done.stderr) == (0, "")
    assert recovered(new) == old.secrets


def test_a_key_that_was_changed_since_the_newest_backup(old: Old, new: Desk) -> None:
    """The newest backup holds the former secrets, which lack the key that was typed."""
    old.back_up()
    former = old.identity
    text, _ = rotated(old.text, [], False)
    data = (checked(text, "x").encryption.keyring or "").strip().encode() + b"\n"
    (old.pi.folder / keyring.object_name(data)).write_bytes(data)
    old.desk.secrets.write_bytes(operator_desk.encrypted(text))
    done = type_kit(new, old.print_kit().typed, "recover", "--from", str(old.pi.folder))
    assert (done.code, done.stderr) == (0, "")
    found = recovered(new).encryption
    assert found.identity == checked(text, "x").encryption.identity
    assert [one.get_secret_value() for one in found.old_identities] == [former]
    assert found.keyring is not None


def test_settings_of_a_later_version(old: Old, new: Desk) -> None:
    old.back_up()
    paper = old.print_kit().typed
    old.write_settings(old.settings + "telepathy: on\n")
    old.back_up()
    said = sentence(type_kit(new, paper, "recover"))
    assert "telepathy is not a known key" in said
    assert "They are of version 0.1.0 of this program: get that one or a newer one (git checkout)" in said
    assert [path.name for path in new.folder.iterdir()] == ["passphrase"]


def test_another_version_of_the_checkout_is_told() -> None:
    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True).stdout.strip()

    assert other_version("HEAD") is None
    assert other_version("no-such-tag") is None
    first = git("rev-list", "--max-parents=0", "HEAD").partition("\n")[0]
    if first not in ("", git("rev-parse", "HEAD")):
        assert str(other_version(first)).endswith(f"type: git checkout {first}")


# Settings of another computer

SETTINGS = """\
hosts:
  # in the cellar
  loomio:
    address: 192.0.2.1   # fixed
    ssh_key: /home/ann/.ssh/id_pi # hers
    known_hosts: /home/ann/.ssh/known
stack: {repository: x}
pull:
  directory: /media/ann/copy/loomio
"""


def test_paths_of_the_old_computer_are_taken_out(tmp_path: Path) -> None:
    text, said = adapted(SETTINGS, tmp_path, ssh_key=None, address=None)
    assert yaml.safe_load(text) == {
        "hosts": {"loomio": {"address": "192.0.2.1", "ssh_key": None, "known_hosts": None}},
        "stack": {"repository": "x"},
        "pull": {"directory": None},
    }
    assert "# in the cellar" in text and "# hers" in text
    assert len(said) == 3
    assert said[0].startswith("hosts.loomio.ssh_key was /home/ann/.ssh/id_pi, which is not on this computer")


def test_what_is_here_stays_and_what_is_asked_for_comes(tmp_path: Path) -> None:
    (tmp_path / "key").touch()
    here = SETTINGS.replace("/home/ann/.ssh/id_pi", "key").replace("/home/ann/.ssh/known", "known")
    here = here.replace("/media/ann/copy/loomio", "loomio")
    assert adapted(here, tmp_path, ssh_key=None, address=None) == (here, [])
    text, _ = adapted(here, tmp_path, ssh_key=tmp_path / "key", address="fe80::1")
    host = yaml.safe_load(text)["hosts"]["loomio"]
    assert (host["address"], host["ssh_key"]) == ("fe80::1", str(tmp_path / "key"))
    bare = "hosts:\n  loomio:\n    address: a\n"
    text, _ = adapted(bare, tmp_path, ssh_key=tmp_path / "key", address=None)
    assert yaml.safe_load(text)["hosts"]["loomio"] == {"ssh_key": str(tmp_path / "key"), "address": "a"}


@pytest.mark.parametrize("text", ["", "[]", "hosts:\n", "hosts: {}\n"])
def test_settings_that_are_none(tmp_path: Path, text: str) -> None:
    with pytest.raises(SettingsError, match="name no Pi"):
        adapted(text, tmp_path, ssh_key=None, address=None)
