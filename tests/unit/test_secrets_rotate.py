"""`loomio-pi secrets rotate-key`: the new key is there, and nothing that opens older backups was lost."""

from pathlib import Path

import pytest

from deploys.console.secrets_rotate import rotated
from deploys.steps import agent_config
from inventories.new_secrets import new_text
from inventories.secrets import checked
from inventories.secrets_file import decrypted
from inventories.settings import Settings
from inventories.validation import SettingsError, validated
from loomio_backup.encryption import crypto, keyring
from tests.unit import operator_desk
from tests.unit.operator_desk import PASSPHRASE, SETTINGS, Desk

TEXT = new_text(["loomio"])
FRIEND = crypto.generate_identity()


def identity_in(text: str) -> str:
    return checked(text, "x").encryption.identity.get_secret_value()


def test_every_former_key_stays_openable_with_the_new_one() -> None:
    first = identity_in(TEXT)
    once, recipient = rotated(TEXT, [crypto.recipient_of(FRIEND)], signing=False)
    second = identity_in(once)
    assert recipient == crypto.recipient_of(second) != crypto.recipient_of(first)
    twice, _ = rotated(once, [], signing=False)
    third = identity_in(twice)
    old = checked(twice, "x").encryption
    assert [one.get_secret_value() for one in old.old_identities] == [second, first]
    assert old.keyring is not None
    assert keyring.opened(old.keyring.encode(), [third], "x") == [second, first]
    ring = checked(once, "x").encryption.keyring
    assert ring is not None
    assert keyring.opened(ring.encode(), [FRIEND], "x") == [first]
    assert checked(once, "x").encryption.signing_key == checked(TEXT, "x").encryption.signing_key


def test_a_new_signing_key_leaves_the_former_one_known() -> None:
    publics = [crypto.signing_public_key(checked(TEXT, "x").encryption.signing_key.get_secret_value())]
    text = TEXT
    for _ in range(2):
        text, _ = rotated(text, [], signing=True)
        found = checked(text, "x").encryption
        assert found.old_signing_public_keys == publics
        publics.insert(0, crypto.signing_public_key(found.signing_key.get_secret_value()))
    assert len(set(publics)) == 3


def test_the_rest_of_the_text_stays_and_its_comment_names_the_new_key() -> None:
    text, recipient = rotated(TEXT, [], signing=True)
    assert f"  # {recipient}\n  identity: " in text
    assert crypto.recipient_of(identity_in(TEXT)) not in text
    before, after = checked(TEXT, "x"), checked(text, "x")
    assert (before.app, before.drive, before.alerts, before.hosts) == (
        after.app, after.drive, after.alerts, after.hosts,
    )  # fmt: skip
    kept = [line for line in TEXT.splitlines() if "identity" not in line and "age1" not in line]
    assert set(kept) - set(text.splitlines()) <= {
        f"  signing_key: {before.encryption.signing_key.get_secret_value()}"
    }


def test_the_pi_gets_the_new_key_first_and_the_keyring() -> None:
    text, recipient = rotated(TEXT, [], signing=False)
    settings, secrets = validated(Settings, SETTINGS, "x"), checked(text, "x")
    files = agent_config.credentials(settings, secrets)
    assert (files["identity"] or "").split() == [identity_in(text), identity_in(TEXT)]
    assert files["keyring.age"] == secrets.encryption.keyring
    assert agent_config.build(settings, secrets, "loomio").recipients == [recipient]


def test_what_cannot_be_read_is_left_alone() -> None:
    with pytest.raises(SettingsError, match=r"app\.devise_secret is empty"):
        rotated(TEXT.replace("  devise_secret: ", "  devise_secret: # "), [], signing=False)


def test_the_command(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.prepare(operator_desk.encrypted(TEXT))
    friend = crypto.recipient_of(FRIEND)
    (tmp_path / "pi.yml").write_text(SETTINGS + f"encryption:\n  extra_recipients: [{friend}]\n")
    done = desk.type("loomio-pi", "secrets", "rotate-key", "--signing-key")
    assert (done.code, done.stderr) == (0, "")
    text = decrypted(desk.secrets, PASSPHRASE)
    found = checked(text, "x").encryption
    assert found.keyring is not None
    assert keyring.opened(found.keyring.encode(), [FRIEND], "x") == [identity_in(TEXT)]
    assert len(found.old_signing_public_keys) == 1
    for key in (identity_in(TEXT), identity_in(text), found.signing_key.get_secret_value()):
        assert key not in done.stdout
        assert key == found.signing_key.get_secret_value() or crypto.recipient_of(key) in done.stdout
    assert "loomio-pi deploy setup " in done.stdout
    assert "sudo loomio-backup rotate-key " in done.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ["passphrase", "pi.yml", "secrets.yml.age"]

    (tmp_path / "passphrase").write_text("not the one\n")
    before = desk.secrets.read_bytes()
    done = desk.type("loomio-pi", "secrets", "rotate-key")
    assert (done.code, desk.secrets.read_bytes()) == (1, before)
    assert "does not open with this passphrase. Nothing was changed" in done.stderr
