"""The handbook is true: every command on its pages is typed, page by page in the order of the index, on a Pi
that was set up and used, and on its operator's computer. Each has to end with exit code 0, and what matters
is looked at. `NAME` is the newest backup. A part of the settings or secrets that is marked `apply` is put
into the lab's.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import handbook
from tests.handbook import Block
from tests.lab import cloud
from tests.lab.docker import REPOSITORY
from tests.paper import Paper

from .reader import PASSPHRASE_OF_THE_VECTOR, Reader, Typed, reading

pytestmark = [pytest.mark.lab, pytest.mark.drill]
PAGES = [page for page in handbook.pages() if page.name != "lessons.md"]
BLOCKS = {page.name: handbook.blocks(page) for page in PAGES}
#: Consent on another machine takes a person at a second screen; tests/unit/test_console_authorize.py has one.
#: A kit is typed from paper: tests/e2e/test_kit.py does that, on a computer that has nothing else.
#: A restore asks a person: tests/lab/test_agent_roundtrip.py answers.
ASKS = ("sudo loomio-backup restore", "sudo loomio-backup undo", "sudo loomio-backup undo --forget")
BY_HAND = ("loomio-pi authorize --device", "loomio-pi kit check", "loomio-pi kit recover")
VECTORS = REPOSITORY / "tests" / "unit" / "vectors"

Before = Callable[[Reader], None]
After = Callable[[Reader, Typed], None]
PREPARED: dict[str, Before] = {}
LOOKED_AT: dict[str, After] = {}


def before(command: str) -> Callable[[Before], Before]:
    """What a person has at hand when they type `command`."""

    def note(prepare: Before) -> Before:
        PREPARED[command] = prepare
        return prepare

    return note


def after(*commands: str) -> Callable[[After], After]:
    """What must be so after `commands`."""

    def note(look: After) -> After:
        LOOKED_AT.update(dict.fromkeys(commands, look))
        return look

    return note


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    with reading(tmp_path_factory.mktemp("handbook")) as reader:
        yield reader


@pytest.mark.parametrize("page", list(BLOCKS))
def test_a_page(reader: Reader, page: str) -> None:
    reader.page = page
    for block in BLOCKS[page]:
        # A page says first that the secrets are to be opened, and then what is to stand in them.
        if block.words == ("yaml", "secrets", "apply"):
            reader.wish_secrets(block.text)
    for block in BLOCKS[page]:
        if block.words[:1] == ("sh",):
            _type(reader, block)
        elif block.words == ("yaml", "settings", "apply"):
            reader.change_settings(block.text)


def _type(reader: Reader, block: Block) -> None:
    folder = None
    for command in block.commands:
        if command.startswith("cd "):
            folder = command.removeprefix("cd ")
            continue
        if command in ASKS or command.startswith(BY_HAND):
            continue
        if command in PREPARED:
            PREPARED[command](reader)
        typed = reader.type(block.words[1], command, folder)
        assert typed.code == 0, f"{block.place}: {command}\n{typed.output[-4000:]}"
        if command in LOOKED_AT:
            LOOKED_AT[command](reader, typed)


def test_what_is_prepared_and_looked_at_is_on_the_pages() -> None:
    commands = {command for blocks in BLOCKS.values() for block in blocks for command in block.commands}
    assert [command for command in (*PREPARED, *LOOKED_AT) if command not in commands] == []


# Making backups


@after("sudo loomio-backup run", "loomio-pi deploy backup")
def _(reader: Reader, typed: Typed) -> None:
    assert f"backup {reader.newest()['name']} is complete in: " in typed.output


@after(
    "loomio-pi deploy backup --data label=before-update",
    "sudo loomio-backup run --label before-update --pin",
)
def _(reader: Reader, _: Typed) -> None:
    newest = reader.newest()
    assert (newest["label"], newest["pinned"], newest["stores"]) == (
        "before-update",
        True,
        ["local", "drive"],
    )


@after("loomio-pi report")
def _(reader: Reader, _: Typed) -> None:
    [page] = reader.folder.glob("recovery-report-*.html")
    assert reader.newest()["name"] in page.read_text()


@after("sudo loomio-backup list")
def _(reader: Reader, typed: Typed) -> None:
    newest = reader.newest()["name"]
    [row] = [line for line in typed.output.splitlines() if newest in line]
    assert reader.page != "backups.md" or "before-update, pinned" in row


@after('sudo loomio-backup pin NAME --reason "as it was before the general meeting"')
def _(reader: Reader, _: Typed) -> None:
    for store in ("local", "drive"):
        assert reader.shown()["stores"][store]["pin"]["by"] == "person"


@after("sudo loomio-backup unpin NAME")
def _(reader: Reader, _: Typed) -> None:
    assert not any(store["pinned"] for store in reader.shown()["stores"].values())


@before("age -d -i key.txt loomio-complete.age | zstd -d | tar -x")
def _(reader: Reader) -> None:
    reader.carry("/mnt/usb/loomio-complete.age")
    (reader.folder / "key.txt").write_text(reader.identity() + "\n")


@after("age -d -i key.txt loomio-complete.age | zstd -d | tar -x")
def _(reader: Reader, _: Typed) -> None:
    whole = reader.folder
    assert (whole / "database.dump").read_bytes().startswith(b"PGDMP")
    assert "SECRET_COOKIE_TOKEN" in (whole / "config" / "env").read_text()
    manifest = json.loads((whole / "manifest.json").read_text())
    files = [path for path in (whole / "app-data").rglob("*") if path.is_file() and not path.is_symlink()]
    assert len(files) == manifest["app_data"]["files"] > 10
    assert "pg_restore" in (whole / "README.md").read_text()
    shutil.rmtree(whole / "app-data")


@after("sudo docker compose exec -T db pg_dump -U loomio -d loomio_production > ~/database.sql")
def _(reader: Reader, _: Typed) -> None:
    assert "PostgreSQL database dump complete" in reader.pi.run("tail", "-n", "9", "/home/pi/database.sql")


@after("sudo loomio-backup check --read-data")
def _(_: Reader, typed: Typed) -> None:
    for store in ("local", "drive"):
        assert f"is complete in {store}" in typed.output
        assert f"{store}: " in typed.output
    assert "objects were opened" in typed.output


@after("sudo loomio-backup list --store local")
def _(reader: Reader, typed: Typed) -> None:
    assert reader.pi.succeeds("test", "-d", "/mnt/usb/loomio-backups")
    assert reader.newest()["name"] in typed.output


# How long they are kept


@after("sudo loomio-backup prune --dry-run")
def _(reader: Reader, typed: Typed) -> None:
    for store in ("local", "drive"):
        decided = [line for line in typed.output.splitlines() if line.startswith(f"{store}: ")]
        assert len(decided) == len(reader.backups(store))
        assert all(line.split()[1] in ("keep", "remove") for line in decided), decided
    assert "the newest complete backup" in typed.output
    assert "pinned" in typed.output


@after("sudo loomio-backup prune")
def _(reader: Reader, typed: Typed) -> None:
    assert "backups removed" in typed.output
    assert "remove " not in reader.type("pi", "sudo loomio-backup prune --dry-run").output


# When they are made


@after('sudo systemctl list-timers "loomio-*" --no-pager')
def _(reader: Reader, typed: Typed) -> None:
    assert typed.output.count("loomio-backup") >= 6
    lines = reader.pi.run("systemctl", "cat", "loomio-backup.timer")
    assert "OnCalendar=*-*-* 00,06,12,18:00:00 Europe/Berlin" in lines


@after("sudo systemctl start loomio-backup.timer")
def _(reader: Reader, _: Typed) -> None:
    assert reader.pi.succeeds("systemctl", "is-active", "loomio-backup.timer")
    config = reader.pi.run("cat", "/etc/loomio-backup/config.yml")
    assert "schedule: 30 3 * * *" in config


# How they stand


@after("sudo loomio-backup status")
def _(_: Reader, typed: Typed) -> None:
    said = ("all is well", "newest complete:  loomio_backup_", "next due:", "last backup run:    complete")
    assert all(text in typed.output for text in said)


@after("sudo loomio-backup status --json")
def _(_: Reader, typed: Typed) -> None:
    assert json.loads(typed.output)["ok"] is True


@after("sudo loomio-backup show NAME")
def _(_: Reader, typed: Typed) -> None:
    assert "in drive  complete" in typed.output
    assert "public.users" in typed.output


@after("sudo cat /var/lib/prometheus/node-exporter/loomio-backup.prom")
def _(reader: Reader, typed: Typed) -> None:
    lines = typed.output.splitlines()
    assert "loomio_backup_last_run_success 1.0" in lines
    assert "loomio_backup_alarms_open 0.0" in lines
    assert 'loomio_backup_late{store="drive"} 0.0' in lines
    page = (handbook.DOCS / "monitoring.md").read_text()
    for name in ("late", "alarms_open", "last_run_success", "written_timestamp_seconds"):
        assert f"loomio_backup_{name}" in page
        assert any(line.startswith(f"loomio_backup_{name}") for line in lines)
    assert reader.pi.succeeds("test", "-x", "/etc/netdata/custom-plugins.d/loomio_backup.plugin")


# Who is told


@before("sudo loomio-backup alert-test")
def _(reader: Reader) -> None:
    reader.sink_before = {what: reader.lab.cloud.kept(what) for what in ("mail", "hooks")}


@after("sudo loomio-backup alert-test")
def _(reader: Reader, typed: Typed) -> None:
    assert typed.output.count("worked") == 3
    came = {
        what: [one for one in reader.lab.cloud.kept(what) if one not in reader.sink_before[what]]
        for what in ("mail", "hooks")
    }
    [mail] = came["mail"]
    assert (mail["from"], mail["to"]) == ("backup@example.org", ["admin@example.org"])
    assert "Subject: [loomio] Backups: a test" in str(mail["data"])
    alert = cloud.ALERTS_URL.rpartition("/")[2]
    assert [one["path"] for one in came["hooks"] if "a test" in str(one["body"])] == [f"/{alert}"]
    ping = cloud.PING_URL.rpartition("/")[2]
    assert f"/{ping}" in [one["path"] for one in reader.lab.cloud.kept("hooks")]


# Google Drive


@after("loomio-pi authorize")
def _(_: Reader, typed: Typed) -> None:
    assert "Access is granted" in typed.output


@before("loomio-pi prune --dry-run    # says for every backup whether it stays, and why")
def _(reader: Reader) -> None:
    reader.move_to_a_shared_drive()


@after("loomio-pi prune --dry-run    # says for every backup whether it stays, and why")
def _(reader: Reader, typed: Typed) -> None:
    assert f"{reader.newest()['name']}: the newest complete backup" in typed.output


# A copy on your own computer


@after("loomio-pi pull", "loomio-pi pull --read-data", "loomio-pi pull --from pi", "loomio-pi pull --prune")
def _(reader: Reader, typed: Typed) -> None:
    newest = reader.backups("drive" if "copying from Google Drive" in typed.output else "local")[0]["name"]
    assert f"The newest is {newest}" in typed.output
    assert (reader.folder / "backups" / "loomio" / f"{newest}.manifest.age").exists()


@after("loomio-pi export loomio-from-copy.age")
def _(reader: Reader, _: Typed) -> None:
    file: Path = reader.folder / "loomio-from-copy.age"
    assert file.read_bytes().startswith(b"age-encryption.org/v1\n")


# The worst evening (tests/e2e/test_recovery.py has the recovery itself)


@after("sudo loomio-backup candidate")
def _(reader: Reader, typed: Typed) -> None:
    assert typed.output.startswith(f"{reader.newest()['name']}, ")


@before("loomio-pi import-folder Downloads/loomio")
def _(reader: Reader) -> None:
    (reader.folder / "backups" / "loomio").rename(reader.folder / "Downloads" / "loomio")


@after("loomio-pi import-folder Downloads/loomio")
def _(reader: Reader, typed: Typed) -> None:
    assert "loomio-pi deploy disaster_recovery --data from=backups/loomio" in typed.output
    assert list((reader.folder / "backups" / "loomio").glob("*.manifest.age"))


# Keys


@before("loomio-pi secrets rotate-key")
def _(reader: Reader) -> None:
    reader.former_identity = reader.identity()


@after("loomio-pi secrets rotate-key")
def _(reader: Reader, _: Typed) -> None:
    assert reader.identity() != reader.former_identity


@after("sudo loomio-backup rotate-key")
def _(reader: Reader, typed: Typed) -> None:
    assert "backups still need it" in typed.output
    assert [name for name in reader.lab.cloud.stored() if name.startswith("keyring_")]


@before("loomio-backup decrypt --key-file passphrase.txt loomio_backup_20240115_120000.sql.enc database.sql")
def _(reader: Reader) -> None:
    shutil.copy(VECTORS / "loomio_backup_20240115_120000.sql.enc", reader.folder)
    (reader.folder / "passphrase.txt").write_text(PASSPHRASE_OF_THE_VECTOR + "\n")


@after("loomio-backup decrypt --key-file passphrase.txt loomio_backup_20240115_120000.sql.enc database.sql")
def _(reader: Reader, _: Typed) -> None:
    wanted = (VECTORS / "loomio_backup_20240115_120000.sql").read_bytes()
    assert (reader.folder / "database.sql").read_bytes() == wanted


# The recovery kit


@after("loomio-pi kit")
def _(reader: Reader, typed: Typed) -> None:
    page = reader.folder / "recovery-kit.html"
    assert page.stat().st_mode & 0o077 == 0
    key = reader.identity().removeprefix("AGE-SECRET-KEY-1")
    assert key[:5] in Paper(page.read_text()).text
    assert key not in typed.output
    page.unlink()


@after("loomio-pi kit --without-key --output for-a-colleague.html")
def _(reader: Reader, _: Typed) -> None:
    lines = Paper((reader.folder / "for-a-colleague.html").read_text()).lines
    assert lines and not [line for line in lines if line.startswith("K")]


# From the older guide


@before("loomio-pi import-env old.env")
def _(reader: Reader) -> None:
    (reader.folder / "old.env").write_text("BACKUP_SCHEDULE=0 */6 * * *\nBACKUP_RETENTION_DAYS=30\n")


@after("loomio-pi import-env old.env")
def _(_: Reader, typed: Typed) -> None:
    assert "schedule: 0 */6 * * *" in typed.output
    assert "days: 30" in typed.output
