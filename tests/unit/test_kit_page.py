"""The recovery kit's page: what is on it, what is not, and that it can be read and typed."""

from __future__ import annotations

import re
import stat

import zxingcpp

from deploys.console.kit_content import PARTS, Kit
from deploys.console.kit_lines import Sheet
from inventories.settings import load_settings
from loomio_backup.encryption import crypto
from tests.unit.kit_bench import FOLDER, Old
from tests.unit.operator_desk import PASSPHRASE, SETTINGS


def test_everything_that_a_recovery_needs_is_on_the_page(old: Old) -> None:
    paper = old.print_kit()
    sheet = Sheet(PARTS)
    for line in paper.lines:
        sheet.take(line)
    kit = Kit.typed(sheet.values())
    settings = load_settings(old.desk.folder / "pi.yml")
    assert kit.identity == old.identity
    assert kit.signing_public_key == crypto.signing_public_key(
        old.secrets.encryption.signing_key.get_secret_value()
    )
    assert kit.client is not None and kit.drive is not None and settings.backup.drive is not None
    assert kit.client.client_id == old.credentials["client_id"]
    assert kit.client.client_secret == old.credentials["client_secret"]
    for name in ("folder_name", "api_root", "token_uri", "auth_uri", "device_uri"):
        assert getattr(kit.drive, name) == getattr(settings.backup.drive, name)
    for text in (
        "https://git.example.org/loomio-pi-stack.git",
        "git checkout v1.2.3",
        "192.0.2.1",
        "loomio.example.org",
        "Raspberry Pi OS Lite (64-bit)",
        "ssh-keygen -t ed25519",
        "make .venv",
        "loomio-pi kit recover",
        "loomio-pi deploy disaster_recovery",
        "The passphrase of the secrets file",
        "The Google login",
        "RECOVERY.md",
        FOLDER,
    ):
        assert text in paper.text, text


def test_what_must_not_be_on_the_page_is_not(old: Old) -> None:
    paper = old.print_kit()
    secrets = old.secrets
    app = secrets.app.model_dump()
    forbidden = {name: value.get_secret_value() for name, value in app.items() if value is not None}
    forbidden |= {
        "passphrase": PASSPHRASE,
        "refresh token": old.credentials["refresh_token"],
        "signing key": secrets.encryption.signing_key.get_secret_value(),
        "sudo password": "from the old days",
    }
    flat = re.sub(r"\s", "", paper.html)
    assert [name for name, value in forbidden.items() if re.sub(r"\s", "", value) in flat] == []


def test_the_page_asks_nothing_of_any_network(old: Old) -> None:
    paper = old.print_kit()
    names = {tag for tag, _ in paper.tags}
    assert names.isdisjoint({"script", "link", "img", "iframe", "object", "embed", "base", "form", "audio"})
    asking = {"src", "href", "srcset", "action", "data", "poster", "background", "xlink:href"}
    assert [attributes for _, attributes in paper.tags if asking.intersection(attributes)] == []
    style = paper.html.partition("<style>")[2].partition("</style>")[0]
    assert "url(" not in style and "@import" not in style


def test_the_page_is_readable(old: Old) -> None:
    paper = old.print_kit()
    assert ("html", {"lang": "en"}) in paper.tags
    headings = [tag for tag, _ in paper.tags if re.fullmatch(r"h\d", tag)]
    assert headings[0] == "h1" and headings.count("h1") == 1 and set(headings) == {"h1", "h2"}
    assert "@page" in paper.html
    colours = set(re.findall(r"#[0-9a-f]{3,6}\b", paper.html))
    assert colours <= {"#000", "#fff", "#777"}


def test_the_qr_code_holds_the_lines(old: Old) -> None:
    paper = old.print_kit()
    svg = re.search(r"<svg.*?</svg>", paper.html, re.S)
    assert svg is not None
    [code] = zxingcpp.read_barcodes(_pixels(svg[0]))
    assert code.text == "\n".join(line.strip() for line in paper.lines)


def _pixels(svg: str) -> memoryview:
    """The modules that the path draws (segno: moves, and horizontal lines), 4 by 4 pixels each."""
    found = re.search(r'viewBox="0 0 (\d+) (\d+)".* d="([^"]+)"', svg, re.S)
    assert found is not None
    width = int(found[1]) * 4
    pixels = bytearray(b"\xff" * width * width)
    x = y = 0.0
    for command, arguments in re.findall(r"([Mmh])([^Mmh]*)", found[3]):
        numbers = [float(number) for number in arguments.split()]
        if command == "h":
            for row in range(int(y) * 4, int(y) * 4 + 4):
                start = row * width + int(x) * 4
                pixels[start : start + int(numbers[0]) * 4] = bytes(int(numbers[0]) * 4)
            x += numbers[0]
        elif command == "M":
            x, y = numbers
        else:
            x, y = x + numbers[0], y + numbers[1]
    return memoryview(bytes(pixels)).cast("B", (width, width))


def test_the_file_is_for_its_owner_and_replaces_nothing(old: Old) -> None:
    file = old.desk.folder / "kit.html"
    done = old.desk.type("loomio-pi", "kit", "--output", str(file))
    assert done.code == 0
    assert old.identity[-10:] not in done.stdout
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    before = file.read_text()
    again = old.desk.type("loomio-pi", "kit", "--output", str(file))
    assert again.code == 1
    assert "exists already and was left as it is" in again.stderr
    assert file.read_text() == before


def test_a_page_without_the_key(old: Old) -> None:
    paper = old.print_kit("--without-key")
    assert not [line for line in paper.lines if line.startswith("K")]
    assert old.identity.removeprefix("AGE-SECRET-KEY-1")[:20] not in paper.html.replace("</td><td>", "")
    assert "The key is not on this page" in paper.text
    assert "loomio-pi kit recover --identity FILE-WITH-THE-KEY" in paper.text
    assert not (old.desk.folder / "kit.json").exists()


def test_an_offline_key_is_told(old: Old) -> None:
    old.write_settings(old.settings + "encryption:\n  offline_key: true\n")
    paper = old.print_kit()
    assert "No backup holds the key" in paper.text
    assert "only in the secrets file on the operator's computer and on this page" in paper.text


def test_a_service_account_has_no_client_to_type(old: Old) -> None:
    account = old.bench.lab.register_service_account("pi@project.iam.gserviceaccount.com")
    old.change_secrets({("drive", "credentials"): account})
    paper = old.print_kit()
    assert {line[0] for line in paper.lines}.isdisjoint({"C", "P"})
    assert "Make a new key in the Google Cloud console for pi@project.iam.gserviceaccount.com" in paper.text
    assert "PRIVATE KEY" not in paper.html


def test_without_drive_the_page_names_the_other_places(old: Old) -> None:
    old.write_settings(SETTINGS)
    paper = old.print_kit()
    assert {line[0] for line in paper.lines} == {"A", "K", "S"}
    assert "The backups are not in Google Drive, but in /var/backups/loomio of the Pi" in paper.text
