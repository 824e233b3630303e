"""The secrets file: what is generated, what is refused, and that no message ever contains a secret."""

import base64
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from inventories import secrets_file
from inventories.new_secrets import new_text
from inventories.secrets import Alerts, Secrets, check_together, checked, load_secrets
from inventories.settings import Settings
from inventories.validation import SettingsError, validated
from loomio_backup.encryption import crypto, keyring
from tests.unit.operator_desk import PASSPHRASE, SETTINGS

TEXT = new_text(["loomio"])
DRIVE = (
    '{"type": "authorized_user", "client_id": "a", "client_secret": "s3cret-b", "refresh_token": "s3cret-c"}'
)


def make_keyring(identity: str) -> str:
    return keyring.make([identity], [crypto.recipient_of(identity)])


def refused(text: str) -> str:
    """The sentence for this text; nothing that is in the text as a value may be in it."""
    with pytest.raises(SettingsError) as caught:
        checked(text, "secrets.yml")
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert "s3cret" not in sentence
    for value in re.findall(r": (\S{20,})", text):
        assert value not in sentence
    return sentence


def with_value(key: str, value: str) -> str:
    """The generated text with another value (text of YAML) for one key."""
    text, count = re.subn(rf"(?m)^( *{key}:).*$", lambda found: f"{found[1]} {value}", TEXT)
    assert count == 1
    return text


def test_a_new_file_is_complete_and_every_value_is_fresh() -> None:
    secrets, others = checked(TEXT, "x"), checked(new_text(["loomio"]), "x")
    sizes = {"secret_key_base": 128}
    for name in type(secrets.app).model_fields:
        value = getattr(secrets.app, name)
        if name == "smtp_password":
            assert value is None
        elif not name.startswith("vapid"):
            assert re.fullmatch(rf"[0-9a-f]{{{sizes.get(name, 64)}}}", value.get_secret_value())
        assert value is None or value != getattr(others.app, name)
    assert secrets.encryption.legacy_passphrase is None
    assert secrets.encryption.identity != others.encryption.identity
    recipient = crypto.recipient_of(secrets.encryption.identity.get_secret_value())
    assert f"# {recipient}\n" in TEXT
    crypto.sign(secrets.encryption.signing_key.get_secret_value(), b"data")
    assert secrets.drive.credentials is None
    assert secrets.hosts["loomio"].sudo_password is None
    assert checked(new_text([]), "x").hosts == {}


def test_the_vapid_pair_is_what_web_push_expects() -> None:
    app = checked(TEXT, "x").app
    private, public = (
        base64.urlsafe_b64decode(value.get_secret_value() + padding)
        for value, padding in ((app.vapid_private_key, "="), (app.vapid_public_key, "="))
    )
    assert (len(private), len(public), public[0]) == (32, 65, 4)
    key = ec.derive_private_key(int.from_bytes(private, "big"), ec.SECP256R1())
    assert key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint) == public
    assert "=" not in app.vapid_public_key.get_secret_value()


def test_secrets_are_never_shown() -> None:
    secrets = checked(with_value("credentials", DRIVE), "x")
    assert secrets.drive.credentials is not None
    shown = f"{secrets!r} {secrets} {secrets.drive!r} {secrets.app!r} {secrets.to_json()}"
    assert "s3cret" not in shown
    assert secrets.app.postgres_password.get_secret_value() not in shown


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        (
            "identity",
            "AGE-SECRET-KEY-1S3CRET",
            "secrets.yml:9: encryption.identity is not an age identity; expected",
        ),
        ("identity", "", "secrets.yml:9: encryption.identity is empty; expected: the age identity (AGE-"),
        ("signing_key", "c2hvcnQ=", "encryption.signing_key is not a signing key; expected"),
        ("legacy_passphrase", "''", "encryption.legacy_passphrase is empty; expected"),
        (
            "postgres_password",
            "12345678901234567890",
            "app.postgres_password is not text to YAML (put it in quotes)",
        ),
        (
            "sudo_password",
            "yes",
            "hosts.loomio.sudo_password is not text to YAML (put it in quotes); expected",
        ),
        ("postgres_password", '"s3cret-a\\ns3cret-b"', "app.postgres_password holds a line break"),
        ("postgres_password", "[s3cret-a]", "app.postgres_password is not text"),
        ("vapid_private_key", "s3cret-a", "app has a vapid_private_key that is none"),
        (
            "vapid_public_key",
            "s3cret-a",
            "app has a vapid_public_key that does not belong to vapid_private_key",
        ),
        ("devise_secret", "*s3cret", "this is not valid YAML; put values with special characters in quotes"),
        ("devise_secret", "{s3cret", "this is not valid YAML; put values with special characters in quotes"),
        (
            "devise_secret",
            "!s3cret x",
            "this is not valid YAML; put values with special characters in quotes",
        ),
        (
            "sudo_password",
            "s3cret\n    sudo_pasword: s3cret",
            "hosts.loomio.sudo_pasword is not a known key; did you mean hosts.loomio.sudo_password?",
        ),
        ("credentials", "s3cret", "drive.credentials is not a group of keys; expected: the JSON"),
        (
            "credentials",
            "{}",
            "drive.credentials has a type that is neither authorized_user nor service_account",
        ),
        ("credentials", '{"type": "s3cret"}', "drive.credentials has a type that is neither"),
        ("credentials", DRIVE.replace("refresh_token", "token"), "drive.credentials lacks refresh_token"),
        (
            "credentials",
            '{"type": "service_account", "client_email": "a@b"}',
            "drive.credentials lacks private_key",
        ),
        (
            "credentials",
            '{"installed": {"client_id": "s3cret"}}',
            "drive.credentials is an OAuth client only",
        ),
    ],
)
def test_mistakes_are_named_and_never_quoted(key: str, value: str, says: str) -> None:
    assert says in refused(with_value(key, value))


OTHER = crypto.generate_identity()
ALERTS = (
    "{server: mail.example.org, from: pi@example.org, to: me@example.org, username: me, password: s3cret}"
)


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        (
            "urls",
            "[s3cret]",
            "alerts.urls[1] is not an address of Apprise's kind; expected: a list of Apprise",
        ),
        ("urls", "[1]", "alerts.urls[1] is not text to YAML (put it in quotes); expected: a list of Apprise"),
        ("urls", "s3cret", "alerts.urls is not a list; expected"),
        ("ping_url", "s3cret", "alerts.ping_url is not a web address; expected"),
        ("smtp", "s3cret", "alerts.smtp is not a group of keys; expected: server, port"),
        (
            "smtp",
            ALERTS.replace("pi@", "s3cret "),
            "alerts.smtp.from is not a mail address; expected: the mail address that alerts come from.",
        ),
        (
            "smtp",
            ALERTS.replace("from:", "form:"),
            "smtp.form is not a known key; did you mean alerts.smtp.from?",
        ),
        (
            "smtp",
            ALERTS.replace("from: pi@example.org, ", ""),
            "alerts.smtp.from is missing; expected: the mail",
        ),
        (
            "smtp",
            ALERTS.replace(", password: s3cret", ""),
            "alerts.smtp has only one of username and password: give both, or none of them.",
        ),
        ("manager_credentials", "s3cret", "drive.manager_credentials is not a group of keys; expected"),
        ("manager_credentials", "{type: x}", "drive.manager_credentials has a type that is neither"),
    ],
)
def test_mistakes_in_alerts_and_second_accounts(key: str, value: str, says: str) -> None:
    assert says in refused(with_value(key, value))


def test_alerts_are_optional_and_secret() -> None:
    assert checked(TEXT, "x").alerts == Alerts()
    text = with_value("smtp", ALERTS).replace("urls: []", "urls: [ntfys://ntfy.sh/s3cret, 'mailto://s3cret']")
    alerts = checked(text, "x").alerts
    assert alerts.smtp is not None
    assert (alerts.smtp.sender, alerts.smtp.to, alerts.smtp.port) == ("pi@example.org", "me@example.org", 587)
    assert alerts.urls[0].get_secret_value() == "ntfys://ntfy.sh/s3cret"
    assert "s3cret" not in f"{alerts!r} {alerts}"


def with_keys(lines: str) -> str:
    return TEXT.replace("  legacy_passphrase:", f"{lines}\n  legacy_passphrase:")


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ("  old_identities: [s3cret]", "encryption.old_identities[1] is not an age identity; expected"),
        (f"  old_identities: [{OTHER}, {OTHER}]", "encryption names an identity twice in identity and old"),
        ("  keyring: s3cret", "encryption has a keyring that encryption.identity does not open"),
        (
            "  keyring: |\n    " + make_keyring(OTHER).replace("\n", "\n    "),
            "encryption has a keyring that encryption.identity does not open",
        ),
        (
            "  old_signing_public_keys: [s3cret]",
            "encryption.old_signing_public_keys[1] is not the public half",
        ),
    ],
    ids=["no identity", "twice", "no keyring", "keyring of another", "no signing key"],
)
def test_mistakes_in_old_keys(lines: str, says: str) -> None:
    assert says in refused(with_keys(lines))


def test_missing_and_misspelt_keys() -> None:
    assert "app.devise_secret is missing; expected: DEVISE_SECRET" in refused(
        re.sub(r"  devise_secret: .*\n", "", TEXT)
    )
    assert "app.devise_secrt is not a known key; did you mean app.devise_secret?" in refused(
        TEXT.replace("devise_secret:", "devise_secrt:")
    )
    assert "app.devise_secret is there twice" in refused(
        TEXT.replace("  devise_secret:", "  devise_secret: s3cret\n  devise_secret:")
    )
    assert refused("") == "secrets.yml is empty."


def test_google_s_own_json_can_be_pasted() -> None:
    pasted = """
    {
      "type": "service_account",
      "project_id": "p",
      "private_key": "-----BEGIN PRIVATE KEY-----\\nMIIE\\n-----END PRIVATE KEY-----\\n",
      "client_email": "a@b.iam.gserviceaccount.com",
      "token_uri": "https://oauth2.googleapis.com/token"
    }"""
    credentials = checked(with_value("credentials", pasted), "x").drive.credentials
    assert credentials is not None
    assert credentials["private_key"] == "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\n"


def test_settings_that_need_a_secret() -> None:
    def together(settings: str, secrets: str) -> None:
        check_together(validated(Settings, settings, "pi.yml"), checked(secrets, "x"), "secrets.yml.age")

    together(SETTINGS, TEXT)
    drive = SETTINGS + "backup: {drive: {}}\n"
    together(drive, with_value("credentials", DRIVE))
    with pytest.raises(SettingsError, match=r"drive\.credentials is missing, .* loomio-pi secrets edit"):
        together(drive, TEXT)
    older = SETTINGS + "backup: {format: fernet}\n"
    together(older, with_value("legacy_passphrase", "old words"))
    with pytest.raises(
        SettingsError, match=r"encryption\.legacy_passphrase is missing, .* backup\.format: fernet"
    ):
        together(older, TEXT)
    mail = SETTINGS + "  smtp: {server: mail.example.org, username: me}\n"
    together(mail, with_value("smtp_password", "hunter2"))
    with pytest.raises(SettingsError, match=r"app\.smtp_password is missing"):
        together(mail, TEXT)
    with pytest.raises(SettingsError, match=r"hosts\.loomio is no Pi of the settings, which name other"):
        together(SETTINGS.replace("loomio:", "other:"), TEXT)


def test_the_file_is_ordinary_age_and_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "secrets.yml.age"
    secrets_file.write_new(path, TEXT, PASSPHRASE)
    assert path.stat().st_mode & 0o7777 == 0o600
    written = path.read_bytes()
    assert written.startswith(b"-----BEGIN AGE ENCRYPTED FILE-----\n")
    assert secrets_file.decrypted(path, PASSPHRASE) == TEXT
    assert load_secrets(path, PASSPHRASE) == checked(TEXT, "x")
    with pytest.raises(SettingsError, match="exists already and was left as it is"):
        secrets_file.write_new(path, TEXT, PASSPHRASE)
    assert path.read_bytes() == written

    with pytest.raises(SettingsError, match=r"secrets\.yml\.age does not open with this passphrase"):
        load_secrets(path, "another passphrase")
    path.write_bytes(written[:-80] + written[-79:])
    with pytest.raises(SettingsError, match="is damaged, or is not an age file with a passphrase"):
        load_secrets(path, PASSPHRASE)
    path.write_text("encryption: {}\n")
    with pytest.raises(SettingsError, match="is damaged, or is not an age file with a passphrase"):
        load_secrets(path, PASSPHRASE)

    path.write_bytes(written)
    real = tmp_path / "elsewhere"
    path.rename(real)
    path.symlink_to(real)
    secrets_file.replace(path, "new text", PASSPHRASE)
    assert path.is_symlink()
    assert secrets_file.decrypted(real, PASSPHRASE) == "new text"
    assert real.stat().st_mode & 0o7777 == 0o600
    assert sorted(found.name for found in tmp_path.iterdir()) == ["elsewhere", "secrets.yml.age"]


def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "secrets.yml.age"
    path.write_text("old")
    code = (
        "import sys, pathlib; from inventories import secrets_file\n"
        "try: secrets_file.replace(pathlib.Path(sys.argv[1]), 'x' * 9000, 'p')\n"
        "except secrets_file.SettingsError as error: print(error)"
    )
    import sys

    done = subprocess.run(
        ["bash", "-c", 'trap "" XFSZ; ulimit -f 4; exec "$@"', "_", sys.executable, "-c", code, path],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "could not be written: File too large. What was there before is still there." in done.stdout
    assert path.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


def test_the_yaml_in_the_file_is_what_any_yaml_program_reads() -> None:
    plain = yaml.safe_load(TEXT)
    assert set(plain) == set(Secrets.model_fields)
    assert plain["app"]["devise_secret"] == checked(TEXT, "x").app.devise_secret.get_secret_value()
