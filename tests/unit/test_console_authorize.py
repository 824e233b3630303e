"""`loomio-pi authorize`: both ways of asking for consent, against the emulator, and all that goes wrong."""

import json
import socket
import sys
import threading
import urllib.error
import urllib.request
import webbrowser
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from deploys.console import authorize_browser, authorize_device
from deploys.console.authorize_google import Client, read_client
from inventories.new_secrets import new_text
from inventories.secrets import checked
from inventories.secrets_file import decrypted
from inventories.validation import SettingsError
from tests.lab.drive import DriveEmulator, LabDrive
from tests.lab.drive.browser import decide
from tests.unit import operator_desk
from tests.unit.operator_desk import PASSPHRASE, SETTINGS, Desk
from tests.unit.stores_bench import DriveBench

EMAIL = "group@example.org"
SCOPE = "https://www.googleapis.com/auth/drive.file"


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DriveBench]:
    with DriveEmulator(tmp_path_factory.mktemp("drive")) as emulator:
        bench = DriveBench(emulator, LabDrive(emulator.url))
        bench.lab.register_account(EMAIL)
        yield bench


@pytest.fixture(autouse=True)
def usual(bench: DriveBench) -> Iterator[None]:
    yield
    bench.lab.clear_faults()
    bench.lab.post(
        "state",
        {"consent": {"device_interval": 5, "device_seconds": 1800, "refresh_tokens": True, "testing": False}},
    )


def client_of(bench: DriveBench, device: bool = False) -> Client:
    inner = bench.lab.register_client(device)["installed"]
    return Client(inner["client_id"], inner["client_secret"])


# In a browser


def browse(monkeypatch: pytest.MonkeyPatch, visit: Callable[[str], object]) -> None:
    """Let `visit` be the browser that gets the address to open."""
    monkeypatch.setenv("BROWSER", "a browser")
    monkeypatch.setattr(
        webbrowser, "open", lambda url: threading.Thread(target=visit, args=(url,), daemon=True).start()
    )


def ask(bench: DriveBench, client: Client, **more: float) -> dict[str, str]:
    url = bench.emulator.url
    return authorize_browser.authorize(client, f"{url}o/oauth2/v2/auth", f"{url}token", **more)


def redirected(url: str) -> str:
    return parse_qs(urlsplit(url).query)["redirect_uri"][0]


def knock(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_consent_in_a_browser_gives_lasting_access(
    bench: DriveBench, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pages: list[str] = []
    browse(monkeypatch, lambda url: pages.append(decide(url, EMAIL)))
    client = client_of(bench)
    found = ask(bench, client)
    assert set(found) == {"type", "client_id", "client_secret", "refresh_token"}
    bench.store(found, folder_name="made by authorize").probe()
    grants = [one for one in bench.lab.state()["grants"] if one["client_id"] == client.client_id]
    assert [one["scopes"] for one in grants] == [[SCOPE]]
    printed = capsys.readouterr().out
    assert client.client_secret not in printed
    assert found["refresh_token"] not in printed
    assert "code_challenge_method=S256" in printed
    # Somebody who has agreed before gets a refresh token again.
    assert ask(bench, client)["refresh_token"] != found["refresh_token"]


def test_without_a_desktop_nothing_is_started(
    bench: DriveBench, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(webbrowser, "open", lambda url: pytest.fail("a browser was started"))
    for name in ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(SettingsError, match="Nobody came back from the browser"):
        ask(bench, client_of(bench), patience=0.2)
    assert "Open this address in a browser" in capsys.readouterr().out


def test_denied(bench: DriveBench, monkeypatch: pytest.MonkeyPatch) -> None:
    browse(monkeypatch, lambda url: decide(url, EMAIL, deny=True))
    with pytest.raises(SettingsError, match=r"Access was denied in the browser\. Nothing was changed\."):
        ask(bench, client_of(bench))


def test_whoever_else_knocks_changes_nothing(bench: DriveBench, monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[int] = []
    silent: list[socket.socket] = []

    def visit(url: str) -> None:
        home = redirected(url)
        port = urlsplit(home).port
        assert port is not None
        silent.append(socket.create_connection(("127.0.0.1", port)))  # as browsers do, in advance
        state = parse_qs(urlsplit(url).query)["state"][0]
        for query in (
            {"state": "wrong", "code": "4/stolen"},
            {"code": "4/stolen"},
            {"state": state[:-1], "error": "access_denied"},
            {"state": "ü", "error": "access_denied"},
        ):
            answers.append(knock(f"{home}?{urlencode(query)}"))
        answers.append(knock(f"{home}favicon.ico"))
        answers.append(knock(f"{home}?state={state}"))
        decide(url, EMAIL)

    browse(monkeypatch, visit)
    assert ask(bench, client_of(bench))["refresh_token"]
    assert answers == [404, 404, 404, 404, 404, 400]
    silent[0].close()


def test_the_place_to_come_back_to_is_only_for_this_machine_and_closed_afterwards(
    bench: DriveBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    homes: list[str] = []

    def visit(url: str) -> None:
        homes.append(redirected(url))
        decide(url, EMAIL)

    browse(monkeypatch, visit)
    ask(bench, client_of(bench))
    home = urlsplit(homes[0])
    assert home.hostname == "127.0.0.1"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", home.port or 0))


def test_a_code_that_somebody_else_used_first(bench: DriveBench, monkeypatch: pytest.MonkeyPatch) -> None:
    client = client_of(bench)
    refusals: list[str] = []

    class Stolen(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, request, fp, code, msg, headers, newurl):  # type: ignore[no-untyped-def]
            stolen = parse_qs(urlsplit(newurl).query)["code"][0]
            form = {
                "grant_type": "authorization_code",
                "code": stolen,
                "client_id": client.client_id,
                "client_secret": client.client_secret,
                "redirect_uri": newurl.partition("?")[0],
            }
            try:
                urllib.request.urlopen(f"{bench.emulator.url}token", urlencode(form).encode(), timeout=10)
            except urllib.error.HTTPError as error:
                refusals.append(json.load(error)["error_description"])
            return super().redirect_request(request, fp, code, msg, headers, newurl)

    def visit(url: str) -> None:
        form = dict(parse_qs(urlsplit(url).query))
        filled = {name: values[0] for name, values in form.items()} | {"email": EMAIL, "decision": "allow"}
        urllib.request.build_opener(Stolen).open(url.partition("?")[0], urlencode(filled).encode())

    browse(monkeypatch, visit)
    with pytest.raises(SettingsError, match="invalid_grant: Malformed auth code"):
        ask(bench, client)
    # Without the verifier, which never left this process, the thief got nothing either.
    assert refusals == ["Invalid code verifier."]


@pytest.mark.parametrize(
    ("consent", "granted", "says"),
    [
        ({"refresh_tokens": False}, None, "for an hour only, without the lasting part"),
        ({"testing": True}, None, "for 6 days only, because the app is still in testing.*Publish it"),
        ({}, "openid", "leave the box for Google Drive ticked"),
    ],
)
def test_access_that_would_not_last_is_refused(
    bench: DriveBench,
    monkeypatch: pytest.MonkeyPatch,
    consent: dict[str, bool],
    granted: str | None,
    says: str,
) -> None:
    bench.lab.post("state", {"consent": consent})
    browse(monkeypatch, lambda url: decide(url, EMAIL, granted=granted))
    with pytest.raises(SettingsError, match=says):
        ask(bench, client_of(bench))


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ({"kind": "html"}, r"Google could not be reached \(status 200, and not in Google's words\)"),
        ({"kind": "status", "status": 503}, r"Google could not be reached \(status 503"),
        ({"kind": "drop-before-commit"}, r"Google could not be reached \(\w+\). Nothing was changed. Check"),
        ({"kind": "invalid-grant"}, "The consent could not be turned into access .*invalid_grant"),
        ({"kind": "empty-json"}, "without the one permission that is needed"),
    ],
)
def test_a_token_endpoint_in_trouble(
    bench: DriveBench, monkeypatch: pytest.MonkeyPatch, fault: dict[str, str], says: str
) -> None:
    bench.lab.fault(**fault, match={"operation": "token"})  # type: ignore[arg-type]
    browse(monkeypatch, lambda url: decide(url, EMAIL))
    with pytest.raises(SettingsError, match=says):
        ask(bench, client_of(bench))


def test_a_client_secret_that_is_wrong(bench: DriveBench, monkeypatch: pytest.MonkeyPatch) -> None:
    browse(monkeypatch, lambda url: decide(url, EMAIL))
    with pytest.raises(SettingsError, match=r"its secret is another one .*invalid_client.* --client FILE"):
        ask(bench, Client(client_of(bench).client_id, "wrong"))


# On another machine


class Elsewhere:
    """Time that passes between two questions, in which somebody may do something on another machine."""

    def __init__(self, capsys: pytest.CaptureFixture[str], *deeds: Callable[[str, str], object]) -> None:
        self.waits: list[float] = []
        self._capsys, self._deeds, self._code = capsys, list(deeds), ("", "")

    def __call__(self, seconds: float) -> None:
        self.waits.append(seconds)
        if not self._code[0]:
            page, code = self._capsys.readouterr().out.split()[-7:-5]
            self._code = page, code
        if self._deeds:
            self._deeds.pop(0)(*self._code)


def ask_elsewhere(bench: DriveBench, client: Client, elsewhere: Elsewhere) -> dict[str, str]:
    url = bench.emulator.url
    return authorize_device.authorize(client, f"{url}device/code", f"{url}token", elsewhere)


def nothing(page: str, code: str) -> None:
    """Nobody does anything."""


def test_consent_on_another_machine(bench: DriveBench, capsys: pytest.CaptureFixture[str]) -> None:
    bench.lab.post("state", {"consent": {"device_interval": 0}})
    elsewhere = Elsewhere(capsys, nothing, nothing, lambda page, code: decide(page, EMAIL, user_code=code))
    found = ask_elsewhere(bench, client_of(bench, device=True), elsewhere)
    bench.store(found, folder_name="made by a device").probe()
    assert elsewhere.waits == [0, 0, 0]


def test_asking_more_slowly_when_told_to(bench: DriveBench, capsys: pytest.CaptureFixture[str]) -> None:
    # The emulator measures real time, which does not pass here: only the first question is not too early.
    def hurry(page: str, code: str) -> None:
        bench.emulator.consent._devices[next(iter(bench.emulator.consent._devices))].interval = 0
        decide(page, EMAIL, user_code=code)

    elsewhere = Elsewhere(capsys, nothing, nothing, nothing, hurry)
    assert ask_elsewhere(bench, client_of(bench, device=True), elsewhere)["refresh_token"]
    assert elsewhere.waits == [5, 5, 10, 15]


def test_denied_on_another_machine(bench: DriveBench, capsys: pytest.CaptureFixture[str]) -> None:
    elsewhere = Elsewhere(capsys, lambda page, code: decide(page, EMAIL, user_code=code, deny=True))
    with pytest.raises(SettingsError, match="Access was denied"):
        ask_elsewhere(bench, client_of(bench, device=True), elsewhere)


@pytest.mark.parametrize("kind", ["empty-json", "wrong-types", "empty-array", "html"])
def test_somebody_else_answers_for_the_code(
    bench: DriveBench, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    bench.lab.fault(kind, match={"path": "device/code"})
    with pytest.raises(SettingsError, match=r"Google could not be reached .*not in Google's words"):
        ask_elsewhere(bench, client_of(bench, device=True), Elsewhere(capsys))


def test_nobody_types_the_code(bench: DriveBench, capsys: pytest.CaptureFixture[str]) -> None:
    bench.lab.post("state", {"consent": {"device_seconds": 12}})
    elsewhere = Elsewhere(capsys)
    with pytest.raises(SettingsError, match="Nobody typed the code in time, so it has expired"):
        ask_elsewhere(bench, client_of(bench, device=True), elsewhere)
    assert sum(elsewhere.waits) >= 12

    # The endpoint says so first, when its clock is ahead of ours.
    def expire(page: str, code: str) -> None:
        for device in bench.emulator.consent._devices.values():
            device.expires = 0

    elsewhere = Elsewhere(capsys, expire)
    with pytest.raises(SettingsError, match="has expired"):
        ask_elsewhere(bench, client_of(bench, device=True), elsewhere)
    assert len(elsewhere.waits) == 1


def test_a_network_that_stumbles_while_waiting(bench: DriveBench, capsys: pytest.CaptureFixture[str]) -> None:
    bench.lab.post("state", {"consent": {"device_interval": 1}})
    bench.lab.fault("drop-before-commit", match={"operation": "token"})
    bench.lab.fault("status", status=503, skip=1, match={"operation": "token"})
    elsewhere = Elsewhere(capsys, nothing, nothing, lambda page, code: decide(page, EMAIL, user_code=code))
    assert ask_elsewhere(bench, client_of(bench, device=True), elsewhere)["refresh_token"]
    assert elsewhere.waits == [1, 2, 4]


def test_a_client_of_the_wrong_type(bench: DriveBench, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SettingsError, match=r"cannot be used with --device .*TVs and Limited Input devices"):
        ask_elsewhere(bench, client_of(bench), Elsewhere(capsys))
    bench.lab.fault("drop-before-commit", match={"operation": "consent"})
    with pytest.raises(SettingsError, match="Google could not be reached"):
        ask_elsewhere(bench, client_of(bench, device=True), Elsewhere(capsys))


# The OAuth client


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "cannot be read: No such file"),
        ("{", "is not the JSON file of an OAuth client"),
        ("[]", "is not the JSON file of an OAuth client"),
        ('{"installed": {"client_id": "x"}}', "is not the JSON file of an OAuth client"),
        ('{"installed": {"client_id": "x", "client_secret": 7}}', "is not the JSON file of an OAuth client"),
        ('{"web": {"client_id": "x", "client_secret": "s3cret"}}', "is an OAuth client for web pages"),
        ('{"type": "service_account", "private_key": "s3cret"}', "is the key of a service account"),
    ],
)
def test_files_that_are_no_client(tmp_path: Path, text: str | None, says: str) -> None:
    path = tmp_path / "client.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(SettingsError, match=says) as caught:
        read_client(path)
    assert "s3cret" not in str(caught.value)


# The command as a person types it


@pytest.fixture(scope="module")
def encrypted() -> bytes:
    return operator_desk.encrypted(new_text(["loomio"]))


@pytest.fixture
def desk(tmp_path: Path, encrypted: bytes, bench: DriveBench) -> Desk:
    url = bench.emulator.url
    browser = f"{sys.executable} -m tests.lab.drive.browser --email {EMAIL} %s"
    desk = Desk(tmp_path, {"BROWSER": browser})
    desk.prepare(encrypted)
    (tmp_path / "pi.yml").write_text(
        f"{SETTINGS}backup:\n  drive:\n    folder_name: Our backups\n    api_root: {url}\n"
        f"    token_uri: {url}token\n    auth_uri: {url}o/oauth2/v2/auth\n    device_uri: {url}device/code\n"
    )
    return desk


def credentials_in(desk: Desk) -> dict[str, str] | None:
    return checked(decrypted(desk.secrets, PASSPHRASE), "x").drive.credentials


def test_the_whole_way(desk: Desk, bench: DriveBench) -> None:
    client = bench.lab.register_client()
    (desk.folder / "client.json").write_text(json.dumps(client))
    done = desk.type("loomio-pi", "authorize", "--client", str(desk.folder / "client.json"))
    assert (done.code, done.stderr) == (0, "")
    found = credentials_in(desk)
    assert found is not None
    assert found["client_id"] == client["installed"]["client_id"]
    assert not [
        value for key, value in found.items() if key not in ("type", "client_id") and value in done.stdout
    ]
    assert "Your OAuth app must be published" in done.stdout
    assert f"Access is granted, and kept in {desk.secrets}.\n" in done.stdout
    assert "The Drive folder 'Our backups' can be used, with no backups in it yet" in done.stdout
    assert done.stdout.endswith("Next, to give the access to the Pi: loomio-pi deploy setup\n")
    assert [one["path"] for one in bench.lab.files() if one["name"] == "Our backups"] == [
        "My Drive/Our backups"
    ]

    # Again, because the access was lost: the same client, and so the same folder.
    bench.lab.revoke(found)
    again = desk.type("loomio-pi", "authorize")
    assert (again.code, again.stderr) == (0, "")
    assert "The OAuth client that is in the secrets already is used again." in again.stdout
    assert len([one for one in bench.lab.files() if one["name"] == "Our backups"]) == 1
    assert "they are not seen with this access: was it granted by another account" in again.stdout


def test_on_a_terminal_the_client_is_asked_for(desk: Desk, bench: DriveBench) -> None:
    client = bench.lab.register_client()["installed"]
    answers = {"Client ID": client["client_id"], "Client secret": client["client_secret"]}
    done = desk.type_on_terminal("loomio-pi", "authorize", answers=answers)
    assert done.code == 0, done.stdout
    assert client["client_secret"] not in done.stdout
    assert credentials_in(desk) is not None


def test_what_stops_it_before_anybody_is_asked(desk: Desk) -> None:
    done = desk.type("loomio-pi", "authorize")
    assert done.code == 1
    assert done.stderr.startswith("loomio-pi: The OAuth client is needed. Nothing was changed.")
    (desk.folder / "pi.yml").write_text(SETTINGS)
    done = desk.type("loomio-pi", "authorize")
    assert done.stderr == (
        "loomio-pi: The settings have no Google Drive to authorise for. Nothing was changed. Turn "
        f"backup.drive on in {desk.folder}/pi.yml (as pi.example.yml shows it), then run the same again.\n"
    )


def test_denied_leaves_the_secrets_alone(desk: Desk, bench: DriveBench) -> None:
    before = desk.secrets.read_bytes()
    (desk.folder / "client.json").write_text(json.dumps(bench.lab.register_client()))
    browser = (desk.environment["BROWSER"] or "").replace(" %s", " --deny %s")
    done = desk.type("loomio-pi", "authorize", "--client", str(desk.folder / "client.json"), BROWSER=browser)
    assert done.code == 1
    assert done.stderr == (
        "loomio-pi: Access was denied in the browser. Nothing was changed. Run the same again, and allow "
        "it.\n"
    )
    assert desk.secrets.read_bytes() == before


def test_access_without_a_folder_is_kept_and_told(desk: Desk, bench: DriveBench) -> None:
    (desk.folder / "client.json").write_text(json.dumps(bench.lab.register_client()))
    settings = desk.folder / "pi.yml"
    settings.write_text(settings.read_text().replace("folder_name: Our backups", "folder_id: somebody-elses"))
    done = desk.type("loomio-pi", "authorize", "--client", str(desk.folder / "client.json"))
    assert done.code == 1
    assert "loomio-pi: The access is kept, but the Drive folder cannot be used with it:" in done.stderr
    assert "with an OAuth user leave folder_id out" in done.stderr
    assert credentials_in(desk) is not None
