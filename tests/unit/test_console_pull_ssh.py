"""`loomio-pi pull` from the Pi's own store: what is typed over there, broken connections, refusals.

In place of ssh and sudo stand two small scripts that do on this machine what they are told for the Pi; real
ones are in tests/lab/test_console_pull.py.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from deploys.console.pull_ssh import PiStore
from inventories.new_secrets import new_text
from inventories.settings import Host
from inventories.validation import validated
from loomio_backup.errors import StoreAuth, StoreDamaged, StoreError, StoreNotFound, StoreUnavailable
from loomio_backup.stores.base import StoredObject
from tests.unit import operator_desk
from tests.unit.operator_desk import SETTINGS, Desk
from tests.unit.pull_bench import PiBackups, flip

PASSWORD = "sesame 'open\" $HOME \\"

# Options come as single words; then the address, then what the remote shell gets.
_SSH = """#!/bin/sh
echo "ssh $*" >> {log}
while [ "${{1#-}}" != "$1" ]; do [ "$1" = -Oexit ] && exit 0; shift; done
shift
if [ -s {cuts} ]; then
    at=$(head -n 1 {cuts}); sed -i 1d {cuts}
    sh -c "$1" | head -c "$at"
    echo "client_loop: send disconnect: Broken pipe" >&2
    exit 255
fi
exec sh -c "$1"
"""
_SUDO = """#!/bin/sh
echo "sudo $*" >> {log}
case $1 in
    -n) [ -s {password} ] && {{ echo "sudo: a password is required" >&2; exit 1; }}; shift 2 ;;
    -S) if [ -s {password} ]; then
            IFS= read -r word
            [ "$word" = "$(cat {password})" ] || {{ echo "Sorry, try again." >&2
                echo "sudo: 1 incorrect password attempt" >&2; exit 1; }}
        fi
        shift 4 ;;
esac
exec "$@"
"""


class FarEnd:
    """What stands in for the Pi: `log` of all commands, `cuts` (bytes after which a connection breaks)."""

    def __init__(self, root: Path) -> None:
        self.log, self.cuts, self.password = root / "log", root / "cuts", root / "password"
        programs = root / "bin"
        programs.mkdir()
        for name, script in (("ssh", _SSH), ("sudo", _SUDO)):
            text = script.format(log=self.log, cuts=self.cuts, password=self.password)
            (programs / name).write_text(text)
            (programs / name).chmod(0o755)
        self.path = f"{programs}:{os.environ['PATH']}"

    def cut(self, *places: int) -> None:
        """Let the next connections break after so many bytes of output."""
        self.cuts.write_text("".join(f"{place}\n" for place in places))

    def commands(self) -> list[str]:
        return [line for line in self.log.read_text().splitlines() if line.startswith("sudo")]


@pytest.fixture
def far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FarEnd:
    far = FarEnd(tmp_path)
    monkeypatch.setenv("PATH", far.path)
    return far


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A store with a name that no shell may take apart."""
    folder = tmp_path / "the store's $(touch oops) `x`"
    folder.mkdir()
    return folder


def store(folder: Path, password: str | None = None, waits: list[float] | None = None) -> PiStore:
    host = validated(Host, "address: 192.0.2.1\nport: 2222\nuser: me", "x")
    return PiStore("loomio", host, str(folder), password, (waits if waits is not None else []).append)


def fetched(source: PiStore, stored: StoredObject, tmp_path: Path) -> bytes:
    source.get(stored, tmp_path / "out")
    assert not (tmp_path / "out.part").exists()
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o600
    return (tmp_path / "out").read_bytes()


def test_listing_and_fetching(far: FarEnd, folder: Path, tmp_path: Path) -> None:
    content = {"a": b"", "with space 'and\" $quotes\\": os.urandom(1_000_000), "ü🎉": b"x\n", "-n": b"dash"}
    for name, data in content.items():
        (folder / name).write_bytes(data)
    (folder / ".hidden").touch()
    (folder / "line\nbreak").touch()
    (folder / "sub").mkdir()
    (folder / "link").symlink_to("a")
    with store(folder) as source:
        listed = {stored.name: stored for stored in source.list()}
        assert {name: stored.size for name, stored in listed.items()} == {
            name: len(data) for name, data in content.items()
        }
        for name, data in content.items():
            assert fetched(source, listed[name], tmp_path) == data
    assert not list(tmp_path.rglob("oops"))
    assert all(line.startswith(("sudo -n -- find ", "sudo -n -- tail -c +1 ")) for line in far.commands())
    assert "-Oexit" in far.log.read_text().splitlines()[-1]


def test_the_password_goes_through_standard_input_only(far: FarEnd, folder: Path, tmp_path: Path) -> None:
    far.password.write_text(PASSWORD)
    (folder / "a").write_bytes(b"content")
    with store(folder, PASSWORD) as source:
        (stored,) = source.list()
        assert fetched(source, stored, tmp_path) == b"content"
        # Also where sudo does not ask, the line does not get into what it runs.
        far.password.unlink()
        assert fetched(source, stored, tmp_path) == b"content"
    assert "sesame" not in far.log.read_text()


@pytest.mark.parametrize("given", [None, "wrong"])
def test_a_password_that_is_missing_or_wrong(far: FarEnd, folder: Path, given: str | None) -> None:
    far.password.write_text(PASSWORD)
    with store(folder, given) as source, pytest.raises(StoreAuth) as caught:
        list(source.list())
    assert "sudo on loomio refuses" in str(caught.value)
    assert "hosts.loomio.sudo_password with: loomio-pi secrets edit" in str(caught.value)


def test_a_broken_connection_is_gone_on_with(far: FarEnd, folder: Path, tmp_path: Path) -> None:
    content = os.urandom(2_000_000)
    (folder / "a").write_bytes(content)
    waits: list[float] = []
    with store(folder, waits=waits) as source:
        (stored,) = source.list()
        far.cut(700_000, 0, 0, 500_000, 0)
        assert fetched(source, stored, tmp_path) == content
    assert [line.split()[5] for line in far.commands()[1:]] == [
        *("+1", "+700001", "+700001", "+700001", "+1200001", "+1200001"),
    ]
    assert waits == [2, 4, 8, 2, 4]


def test_giving_up_keeps_what_came(far: FarEnd, folder: Path, tmp_path: Path) -> None:
    content = os.urandom(500_000)
    (folder / "a").write_bytes(content)
    with store(folder) as source:
        (stored,) = source.list()
        far.cut(300_000, 0, 0, 0, 0)
        with pytest.raises(StoreUnavailable, match=r"cannot be reached: client_loop.*Is it switched on"):
            source.get(stored, tmp_path / "out")
        assert (tmp_path / "out.part").stat().st_size == 300_000
        far.cut()
        assert fetched(source, stored, tmp_path) == content
    assert far.commands()[-1].split()[5] == "+300001"


def test_what_changes_while_it_is_read(far: FarEnd, folder: Path, tmp_path: Path) -> None:
    (folder / "a").write_bytes(b"x" * 1000)
    with store(folder) as source:
        (stored,) = source.list()
        (folder / "a").write_bytes(b"x" * 999)
        with pytest.raises(StoreDamaged, match="has 999 bytes instead of 1000"):
            source.get(stored, tmp_path / "out")
        (folder / "a").write_bytes(b"x" * 1001)
        (tmp_path / "out.part").unlink()
        with pytest.raises(StoreDamaged, match="grew while it was fetched"):
            source.get(stored, tmp_path / "out")
        (folder / "a").unlink()
        with pytest.raises(StoreNotFound, match="it is not there"):
            source.get(stored, tmp_path / "out")
        # Of another object of this name more was there than this one has.
        (folder / "a").write_bytes(b"y" * 1000)
        (tmp_path / "out.part").write_bytes(b"z" * 2000)
        assert fetched(source, stored, tmp_path) == b"y" * 1000


@pytest.mark.parametrize(
    ("script", "kind", "says"),
    [
        (
            "echo 'me@192.0.2.1: Permission denied (publickey).' >&2; exit 255",
            StoreAuth,
            "does not let you in",
        ),
        ("echo 'Host key verification failed.' >&2; exit 255", StoreAuth, "ssh-keygen -R 192.0.2.1"),
        (
            "echo 'ssh: connect to host: No route' >&2; exit 255",
            StoreUnavailable,
            "cannot be reached: ssh: con",
        ),
        ("exit 255", StoreUnavailable, "cannot be reached: exit status 255"),
        (
            "echo 'find: Input/output error' >&2; exit 1",
            StoreError,
            "failed: find: Input/output error. Nothing",
        ),
    ],
)
def test_refusals_in_words(
    far: FarEnd, folder: Path, script: str, kind: type[StoreError], says: str, tmp_path: Path
) -> None:
    (tmp_path / "bin" / "ssh").write_text(f"#!/bin/sh\n{script}\n")
    with store(folder) as source, pytest.raises(kind) as caught:
        list(source.list())
    assert says in str(caught.value)
    assert type(caught.value) is kind


def test_a_store_that_is_not_there(far: FarEnd, folder: Path) -> None:
    with (
        store(folder / "nowhere") as source,
        pytest.raises(StoreNotFound, match=r"listing .*nowhere on loomio"),
    ):
        list(source.list())


def test_how_ssh_is_called(far: FarEnd, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "key").touch()
    host = validated(Host, f"address: pi.local\nssh_key: {tmp_path}/key\nknown_hosts: {tmp_path}/known", "x")
    with PiStore("loomio", host, str(folder), None) as source:
        list(source.list())
    line = far.log.read_text().splitlines()[0]
    assert line.startswith("ssh -p22 -lpi -S")
    assert f" -i{tmp_path}/key " in line
    assert f' -oUserKnownHostsFile="{tmp_path}/known" ' in line
    assert " -oStrictHostKeyChecking=accept-new " in line
    assert " pi.local env LC_ALL=C sudo -n -- find " in line


def test_the_command_copies_from_the_pi(far: FarEnd, tmp_path: Path) -> None:
    text = new_text(["loomio"])
    far.password.write_text(PASSWORD)
    secrets = text.replace("    sudo_password:", f"    sudo_password: {json.dumps(PASSWORD)}")
    desk = Desk(tmp_path / "desk", {"PATH": far.path})
    desk.folder.mkdir()
    pi = PiBackups(tmp_path / "store", text)
    for packs in (["app-data_1"], ["app-data_1", "app-data_2"]):
        pi.make(packs)
    flip(pi.folder / "app-data_2.tar.zst.age")
    desk.prepare(operator_desk.encrypted(secrets))
    (desk.folder / "pi.yml").write_text(f"{SETTINGS}backup: {{local: {{path: {pi.folder}}}}}\n")
    done = desk.type("loomio-pi", "pull", str(tmp_path / "copy"))
    assert done.code == 1, done
    assert done.stdout.startswith(f"copying from {pi.folder} on loomio to {tmp_path}/copy\n")
    assert f"1 backups are complete here. The newest is {pi.made[0].name}" in done.stdout
    assert f"{pi.made[1].name} is not complete at the source: app-data_2.tar.zst.age missing" in done.stderr
    assert "sesame" not in far.log.read_text()
