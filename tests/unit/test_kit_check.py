"""`loomio-pi kit check`: what is typed opens the newest backup, or the sentence says what does not fit."""

from __future__ import annotations

import json
import re
from pathlib import Path

from deploys.console.secrets_rotate import rotated
from inventories.secrets import checked
from loomio_backup.encryption import crypto, keyring
from tests.unit import operator_desk
from tests.unit.kit_bench import Old, new_computer, sentence, type_kit
from tests.unit.operator_desk import Desk
from tests.unit.pull_bench import digests_of_file, flip


def rotate(old: Old, *, signing: bool = False, ring: bool = True) -> None:
    """A new key, as `secrets rotate-key` and `loomio-backup rotate-key` bring it."""
    text, _ = rotated(old.text, [], signing)
    old.text = text
    old.desk.secrets.write_bytes(operator_desk.encrypted(text))
    old.change_secrets({})
    if ring:
        data = (checked(text, "x").encryption.keyring or "").strip().encode() + b"\n"
        (old.pi.folder / keyring.object_name(data)).write_bytes(data)
        old.pi.send_to(old.store)


def test_the_kit_is_right(old: Old) -> None:
    old.back_up()
    newest = old.back_up()
    done = type_kit(old.desk, old.print_kit().typed, "check")
    assert (done.code, done.stderr) == (0, "")
    assert (
        f"The kit is right: what you typed opens {newest}, the newest backup in Google Drive" in done.stdout
    )
    assert json.loads((old.desk.folder / "kit.json").read_text())["backup"] == newest


def test_the_key_in_the_secrets_does_not_help(old: Old) -> None:
    """The typed key counts: one that opens nothing fails, although the right one is in the secrets file."""
    paper = old.print_kit().typed
    old.back_up()
    rotate(old, ring=False)
    newest = old.back_up()
    said = sentence(type_kit(old.desk, paper, "check"))
    assert re.match(r"The key \(K lines\), whose fingerprint is [0-9a-f]{16}, does not open ", said)
    assert newest in said and "Print a new kit with: loomio-pi kit" in said
    assert json.loads((old.desk.folder / "kit.json").read_text())["checked_at"] is None


def test_after_a_change_of_the_key_a_new_kit_opens_what_is_older(old: Old) -> None:
    """The newest backup is still the one that the former key was for: the keyring beside it opens it."""
    newest = old.back_up()
    rotate(old)
    done = type_kit(old.desk, old.print_kit().typed, "check")
    assert (done.code, done.stderr) == (0, "")
    assert newest in done.stdout
    later = old.back_up()
    assert later in type_kit(old.desk, old.print_kit().typed, "check").stdout


def test_every_key_that_the_newest_backup_needs_is_tried(old: Old) -> None:
    """Packs that were stored for the former key are a part of a backup that the new one is for."""
    old.back_up()
    rotate(old)
    newest = old.back_up()
    paper = old.print_kit().typed
    done = type_kit(old.desk, paper, "check")
    assert done.code == 0
    assert "2 objects were opened, one for each key that it needs" in done.stdout
    ring = next(path for path in old.pi.folder.iterdir() if path.name.startswith("keyring_"))
    old.store.delete(next(one for one in old.store.list() if one.name == ring.name))
    said = sentence(type_kit(old.desk, paper, "check"))
    assert f"app-data_1.tar.zst.age, which {newest} needs, was made for the keys" in said
    assert "sudo loomio-backup rotate-key" in said


def test_another_signing_key(old: Old) -> None:
    paper = old.print_kit().typed
    old.back_up()
    rotate(old, signing=True)
    # The key lines are right again, the signing key is the former one.
    newest = old.back_up()
    lines = dict(line.split(" ", 1) for line in paper.splitlines())
    lines |= {
        label: rest
        for label, rest in (line.split(" ", 1) for line in old.print_kit().typed.splitlines())
        if label.startswith("K")
    }
    said = sentence(type_kit(old.desk, "".join(f"{a} {b}\n" for a, b in lines.items()), "check"))
    assert said.startswith(
        f"The key opens {newest}, but that backup is not signed with the signing key in the S"
    )


def test_a_typo_is_told_with_its_line(old: Old) -> None:
    old.back_up()
    lines = old.print_kit().typed.splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("K2"))
    right = list(lines)
    lines[at] = lines[at][:5] + ("Q" if lines[at][5] != "Q" else "P") + lines[at][6:]
    said = sentence(type_kit(old.desk, "\n".join(lines), "check"))
    assert said.startswith("Line K2 is not as it is printed.")
    said = sentence(type_kit(old.desk, "\n".join(right[:3]), "check"))
    assert said.startswith(
        f"The kit was not typed to its end: line {lines[3].split()[0]} of {len(lines)} lines"
    )


def test_on_a_terminal_a_wrong_line_is_asked_for_again(old: Old) -> None:
    newest = old.back_up()
    lines = old.print_kit().typed.splitlines()
    answers: dict[str, str] = {}
    for line in lines:
        label, text = line.split(" ", 1)
        if label == "K1":
            answers[f"  {label}: "] = text[:-1] + ("0" if text[-1] != "0" else "1")
            answers["Line K1 is not as it is printed"] = text.lower()
        else:
            answers[f"  {label}: "] = text
    done = old.desk.type_on_terminal("loomio-pi", "kit", "check", answers=answers)
    assert done.code == 0, done.stdout
    assert "K: the key that opens the backups" in done.stdout
    assert f"opens {newest}" in done.stdout


def test_the_client_or_the_folder_has_changed(old: Old) -> None:
    old.back_up()
    paper = old.print_kit().typed
    old.change_secrets({("drive", "credentials"): {**old.credentials, "client_secret": "GOCSPX-another"}})
    said = sentence(type_kit(old.desk, paper, "check"))
    assert said.startswith("What the kit says in the lines P (OAuth client: its secret) is not what settings")


def test_a_damaged_object_is_not_the_key_s_fault(old: Old) -> None:
    newest = old.back_up()
    path = old.pi.folder / f"{newest}.config.tar.zst.age"
    stored = next(one for one in old.store.list() if one.name == path.name)
    old.store.delete(stored)
    flip(path)
    old.store.put(path.name, path, digests_of_file(path))
    said = sentence(type_kit(old.desk, old.print_kit().typed, "check"))
    assert said.startswith(f"{newest} cannot be trusted:")
    assert "The key is not to blame" in said


def test_from_a_folder_and_by_a_login_nothing_else_is_needed(old: Old, new: Desk) -> None:
    newest = old.back_up()
    paper = old.print_kit().typed
    done = type_kit(new, paper, "check", "--from", str(old.pi.folder))
    assert (done.code, done.stderr) == (0, "")
    assert f"opens {newest}" in done.stdout
    done = type_kit(new, paper, "check", "--login")
    assert (done.code, done.stderr) == (0, ""), done
    assert f"opens {newest}, the newest backup in Google Drive" in done.stdout
    assert [path.name for path in new.folder.iterdir()] == ["passphrase"]
    (new.folder / "empty").mkdir()
    said = sentence(type_kit(new, paper, "check", "--from", str(new.folder / "empty")))
    assert "holds no backup" in said


def test_a_second_person_tries_their_own_key(old: Old, tmp_path: Path) -> None:
    theirs = crypto.generate_identity()
    file = tmp_path / "colleague.txt"
    file.write_text(f"# created today\n{theirs}\n")
    old.back_up()
    old.print_kit()
    without = old.print_kit("--without-key").typed
    # Packs that were stored before they came do not open with their key.
    old.pi.others = [crypto.recipient_of(theirs)]
    old.back_up()
    said = sentence(type_kit(old.desk, without, "check", "--identity", str(file)))
    assert "app-data_1.tar.zst.age" in said and "--repack" in said
    made = old.pi.make(["app-data_2"])
    old.pi.send_to(old.store)
    done = type_kit(old.desk, without, "check", "--identity", str(file))
    assert (done.code, done.stderr) == (0, "")
    assert f"opens {made.name}" in done.stdout
    assert "the date of that kit's last check stays as it was" in done.stdout
    assert json.loads((old.desk.folder / "kit.json").read_text())["checked_at"] is None
    said = sentence(type_kit(old.desk, without, "check"))
    assert said.startswith("The key is not on this page.")


def test_a_store_without_backups(old: Old, tmp_path: Path) -> None:
    said = sentence(type_kit(new_computer(tmp_path / "n"), old.print_kit().typed, "check", "--login"))
    assert said.startswith("There is no backup at all.")
