"""`loomio-pi secrets` and the inventory as a person meets them: real commands, everything that they print."""

import os
import re
import signal
import stat
import subprocess
import time
from pathlib import Path

import pytest

from inventories.new_secrets import new_text
from inventories.secrets_file import decrypted
from inventories.settings import ROOT
from tests.unit import operator_desk
from tests.unit.operator_desk import BIN, PASSPHRASE, Desk

TEXT = new_text(["loomio"])
LOADING = "--> Loading config...\n--> Loading inventory...\n"


@pytest.fixture(scope="module")
def encrypted() -> bytes:
    return operator_desk.encrypted(TEXT)


@pytest.fixture
def desk(tmp_path: Path, encrypted: bytes) -> Desk:
    (tmp_path / "memory").mkdir()
    desk = Desk(tmp_path, {"XDG_RUNTIME_DIR": str(tmp_path / "memory"), "EDITOR": None, "VISUAL": None})
    desk.prepare(encrypted)
    return desk


def editor(desk: Desk, script: str) -> str:
    """An editor: a shell script that gets the file as $1."""
    path = desk.folder / "my editor"
    path.write_text(f"#!/bin/sh\nset -e\n{script}\n")
    path.chmod(0o755)
    return f"'{path}'"


def pi(desk: Desk, **more: str | None) -> tuple[int, str]:
    """Run a deploy with the inventory; returns the exit code and what follows pyinfra's own two lines."""
    done = desk.type("pyinfra", "inventories/pi.py", "deploys/setup.py", **more)
    assert done.stdout == ""
    assert done.stderr.startswith(LOADING)
    return done.code, done.stderr.removeprefix(LOADING)


def the_one_line(code: int, rest: str, sentence: str) -> None:
    assert code == 1
    assert rest.startswith("--> pyinfra error in inventories/pi.py line ")
    assert rest.partition(": ")[2] == sentence + "\n"


# init


def test_init_makes_a_file_that_the_inventory_accepts_and_never_overwrites_one(desk: Desk) -> None:
    desk.secrets.unlink()
    done = desk.type("loomio-pi", "secrets", "init")
    assert (done.code, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{desk.secrets} is made, with new keys and passwords.\n")
    assert desk.secrets.stat().st_mode & 0o7777 == 0o600
    written = desk.secrets.read_bytes()
    values = re.findall(r"(?m)^  \w+: (\S{3,})$", decrypted(desk.secrets, PASSPHRASE))
    assert len(values) == 9
    assert not [value for value in values if value in done.stdout]

    shown = desk.type("pyinfra", "inventories/pi.py", "debug-inventory")
    assert shown.code == 0, shown.stderr
    assert '"secrets": "(secret)"' in shown.stderr
    assert '"ssh_hostname": "192.0.2.1"' in shown.stderr

    again = desk.type("loomio-pi", "secrets", "init")
    assert (again.code, again.stdout) == (1, "")
    assert again.stderr == (
        f"loomio-pi: The secrets file {desk.secrets} exists already and was left as it is. "
        "Change it with: loomio-pi secrets edit\n"
    )
    assert desk.secrets.read_bytes() == written


def test_init_on_a_terminal_asks_twice_and_shows_nothing(desk: Desk) -> None:
    desk.secrets.unlink()
    ask = {"Choose a passphrase": PASSPHRASE, "The same again": PASSPHRASE}
    done = desk.type_on_terminal("loomio-pi", "secrets", "init", answers=ask, LOOMIO_PI_PASSPHRASE_FILE=None)
    assert done.code == 0, done.stdout
    assert PASSPHRASE not in done.stdout
    assert "identity" in decrypted(desk.secrets, PASSPHRASE)


@pytest.mark.parametrize(
    ("first", "second", "says"),
    [
        (
            "a long passphrase",
            "another one",
            "The two passphrases are not the same. Nothing was written; try again.",
        ),
        ("short", None, "The passphrase has 5 characters, and needs 10 or more. Nothing was written."),
        ("", None, "No passphrase was given. Nothing was done."),
    ],
)
def test_init_refuses_unusable_passphrases(desk: Desk, first: str, second: str | None, says: str) -> None:
    desk.secrets.unlink()
    answers = {"Choose a passphrase": first} | ({"The same again": second} if second is not None else {})
    done = desk.type_on_terminal(
        "loomio-pi", "secrets", "init", answers=answers, LOOMIO_PI_PASSPHRASE_FILE=None
    )
    assert done.code == 1
    assert done.stdout.endswith(f"loomio-pi: {says}\n")
    assert not desk.secrets.exists()


# The passphrase


def test_without_a_terminal_and_a_file_both_ways_are_named(desk: Desk) -> None:
    sentence = (
        f"The passphrase of {desk.secrets} is needed. Run this on a terminal to type it, or name a file that "
        "holds it in LOOMIO_PI_PASSPHRASE_FILE (mode 0600)."
    )
    done = desk.type("loomio-pi", "secrets", "edit", LOOMIO_PI_PASSPHRASE_FILE=None)
    assert (done.code, done.stdout, done.stderr) == (1, "", f"loomio-pi: {sentence}\n")
    the_one_line(*pi(desk, LOOMIO_PI_PASSPHRASE_FILE=None), sentence)


def test_the_inventory_asks_on_a_terminal(desk: Desk) -> None:
    done = desk.type_on_terminal(
        "pyinfra", "inventories/pi.py", "debug-inventory",
        answers={"Passphrase of": PASSPHRASE}, LOOMIO_PI_PASSPHRASE_FILE=None,
    )  # fmt: skip
    assert done.code == 0
    assert '"ssh_user": "pi"' in done.stdout
    assert PASSPHRASE not in done.stdout


def test_passphrase_files_that_are_refused(desk: Desk) -> None:
    path = desk.folder / "passphrase"
    start = f"The passphrase file {path} (LOOMIO_PI_PASSPHRASE_FILE)"
    for mode in (0o640, 0o604, 0o644):
        path.chmod(mode)
        the_one_line(*pi(desk), f"{start} can be read by other users of this machine. Type: chmod 600 {path}")
    path.chmod(0o600)
    for text, problem in [
        ("\n", "is empty; it must hold one line."),
        ("a\nb\n", "has several lines; it must hold one."),
    ]:
        path.write_text(text)
        the_one_line(*pi(desk), f"{start} {problem}")
    path.unlink()
    the_one_line(*pi(desk), f"{start} cannot be read: No such file or directory.")


# The inventory's errors: one line each, before any host is touched


def test_a_missing_secrets_file(desk: Desk) -> None:
    desk.secrets.unlink()
    sentence = (
        f"The secrets file {desk.secrets} is not there. Make a new one with: loomio-pi secrets init (for a "
        "Pi that has backups, put your copy of the file there instead: only it opens them)."
    )
    the_one_line(*pi(desk), sentence)
    done = desk.type("loomio-pi", "secrets", "edit")
    assert (done.code, done.stdout, done.stderr) == (1, "", f"loomio-pi: {sentence}\n")


def test_a_wrong_passphrase(desk: Desk) -> None:
    (desk.folder / "passphrase").write_text("not the one\n")
    sentence = (
        f"The secrets file {desk.secrets} does not open with this passphrase. Nothing was changed; try again."
    )
    the_one_line(*pi(desk), sentence)
    done = desk.type("loomio-pi", "secrets", "edit")
    assert (done.code, done.stdout, done.stderr) == (1, "", f"loomio-pi: {sentence}\n")


def test_a_damaged_secrets_file(desk: Desk) -> None:
    desk.secrets.write_bytes(desk.secrets.read_bytes()[:-200])
    the_one_line(
        *pi(desk),
        f"The secrets file {desk.secrets} is damaged, or is not an age file with a passphrase. Nothing was "
        "changed; put your copy of it in its place.",
    )


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        (
            "  ref: v1.2.3\n",
            "",
            "4: stack.ref is missing; expected: the tag, branch or commit to check out; "
            "a tag or commit is best.",
        ),
        ("  ref:", "  reff:", "6: stack.reff is not a known key; did you mean stack.ref?"),
        (
            "v1.2.3",
            "1.2",
            "6: stack.ref: '1.2' is not text to YAML (put it in quotes); "
            "expected: the tag, branch or commit to check out; a tag or commit is best.",
        ),
    ],
)
def test_mistakes_in_the_settings(desk: Desk, old: str, new: str, sentence: str) -> None:
    path = desk.folder / "pi.yml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    line, _, rest = sentence.partition(": ")
    code, printed = pi(desk)
    number = 1 + (ROOT / "inventories" / "pi.py").read_text().splitlines().index(
        "    raise InventoryError(str(error)) from None"
    )
    assert code == 1
    assert printed == f"--> pyinfra error in inventories/pi.py line {number}: {path}:{line}: {rest}\n"


def test_a_missing_settings_file(desk: Desk) -> None:
    (desk.folder / "pi.yml").unlink()
    the_one_line(
        *pi(desk),
        f"The settings file {desk.folder}/pi.yml is not there. Copy inventories/pi.example.yml to it and "
        "fill it in (loomio-pi init does that with you), or name another file in LOOMIO_PI_SETTINGS.",
    )


def test_settings_that_need_a_secret_which_is_not_there(desk: Desk) -> None:
    with (desk.folder / "pi.yml").open("a") as file:
        file.write("backup:\n  drive: {}\n")
    the_one_line(
        *pi(desk),
        f"{desk.secrets}: drive.credentials is missing, and the settings have backup.drive turned on. Get "
        "access with: loomio-pi authorize (for a service account, put its JSON in with: loomio-pi secrets "
        "edit)",
    )


# edit


def test_edit_hands_out_the_text_in_private_and_keeps_it_as_it_was_typed(desk: Desk) -> None:
    report = desk.folder / "report"
    command = editor(
        desk,
        f'echo "$#|$1|$(stat -c %a "$1")|$(stat -c %a "$(dirname "$1")")" > {report}\n'
        'cp "$1" "$1~"\n'
        'sed -i "s/^drive:/# my own note\\ndrive:/" "$1"',
    )
    done = desk.type("loomio-pi", "secrets", "edit", EDITOR=command)
    assert (done.code, done.stdout, done.stderr) == (0, f"{desk.secrets} is written.\n", "")
    assert decrypted(desk.secrets, PASSPHRASE) == TEXT.replace("drive:\n", "# my own note\ndrive:\n", 1)
    count, path, mode, above = report.read_text().strip().split("|")
    assert (count, mode, above) == ("1", "600", "700")
    assert path.startswith(f"{desk.folder}/memory/loomio-pi-")
    assert path.endswith("/secrets.yml")
    assert list((desk.folder / "memory").iterdir()) == []
    assert stat.S_IMODE(desk.secrets.stat().st_mode) == 0o600


def test_edit_gives_the_editor_its_arguments_and_no_shell(desk: Desk) -> None:
    report = desk.folder / "report"
    command = editor(desk, f'printf "%s\\n" "$@" > {report}')
    done = desk.type(
        "loomio-pi", "secrets", "edit", EDITOR=f"{command} --wait 'a b' ; touch {desk.folder}/bad"
    )
    assert done.stdout == f"Nothing was changed in {desk.secrets}.\n"
    assert report.read_text().splitlines()[:3] == ["--wait", "a b", ";"]
    assert not (desk.folder / "bad").exists()


def test_edit_that_changes_nothing_leaves_the_file_alone(desk: Desk, encrypted: bytes) -> None:
    before = desk.secrets.stat()
    done = desk.type("loomio-pi", "secrets", "edit", EDITOR="true")
    assert (done.code, done.stdout, done.stderr) == (0, f"Nothing was changed in {desk.secrets}.\n", "")
    after = desk.secrets.stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    assert list((desk.folder / "memory").iterdir()) == []


@pytest.mark.parametrize(
    ("script", "says"),
    [
        (
            'sed -i "s/hosts:/hosst:/" "$1"',
            "secrets.yml:{hosts}: hosst is not a known key; did you mean hosts?",
        ),
        (
            'sed -i "s/identity: .*/identity: s3cret/" "$1"',
            "encryption.identity is not an age identity; expected",
        ),
        (': > "$1"', "secrets.yml is empty."),
        ('rm "$1"', "left no text behind. Nothing was changed."),
        ("exit 3", "ended with 3. Nothing was changed. Set EDITOR"),
        ("kill -KILL $$", "ended with -9. Nothing was changed."),
    ],
)
def test_edit_refuses_and_leaves_the_file_as_it_was(
    desk: Desk, encrypted: bytes, script: str, says: str
) -> None:
    done = desk.type("loomio-pi", "secrets", "edit", EDITOR=editor(desk, script))
    assert (done.code, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("loomio-pi: ")
    line = TEXT.splitlines().index("hosts:") + 1
    assert says.replace("{hosts}", str(line)) in done.stderr
    assert "s3cret" not in done.stderr
    assert desk.secrets.read_bytes() == encrypted
    assert list((desk.folder / "memory").iterdir()) == []


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("absent-editor", "The editor absent-editor cannot be started: No such file"),
        ("'", "EDITOR cannot be understood"),
    ],
)
def test_editors_that_cannot_be_started(desk: Desk, name: str, says: str) -> None:
    done = desk.type("loomio-pi", "secrets", "edit", EDITOR=name)
    assert done.code == 1
    assert says in done.stderr
    assert done.stderr.count("\n") == 1


def test_edit_on_a_terminal_offers_another_try(desk: Desk) -> None:
    command = editor(
        desk,
        'if grep -q hosst: "$1"; then sed -i "s/hosst:/hosts: # mended/" "$1"; exit; fi\n'
        'sed -i "s/^hosts:/hosst:/" "$1"',
    )
    done = desk.type_on_terminal(
        "loomio-pi", "secrets", "edit", answers={"Edit again? [Y/n]": "y"}, EDITOR=command
    )
    assert done.code == 0, done.stdout
    assert "hosts: # mended" in decrypted(desk.secrets, PASSPHRASE)

    before = desk.secrets.read_bytes()
    command = editor(desk, 'sed -i "s/^hosts:/hosst:/" "$1"')
    done = desk.type_on_terminal(
        "loomio-pi", "secrets", "edit", answers={"Edit again? [Y/n]": "n"}, EDITOR=command
    )
    assert done.code == 1
    assert done.stdout.endswith("loomio-pi: Your changes were thrown away.\n")
    assert desk.secrets.read_bytes() == before


def test_edit_never_loses_the_key_of_older_backups(desk: Desk, encrypted: bytes) -> None:
    other = new_text(["loomio"]).split("identity: ")[1].split()[0]
    command = editor(desk, f'sed -i "s/identity: .*/identity: {other}/" "$1"')
    done = desk.type("loomio-pi", "secrets", "edit", EDITOR=command)
    assert done.code == 0
    (kept,) = desk.folder.glob("secrets.yml.age.*.old")
    assert done.stdout == f"{desk.secrets} is written. The file with the old keys is kept as {kept}.\n"
    assert kept.read_bytes() == encrypted
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert other in decrypted(desk.secrets, PASSPHRASE)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_closed_terminal_leaves_no_plain_text(desk: Desk, encrypted: bytes, number: signal.Signals) -> None:
    ready = desk.folder / "ready"
    command = editor(desk, f"touch {ready}; exec sleep 60")
    process = subprocess.Popen(
        [BIN / "loomio-pi", "secrets", "edit"], cwd=ROOT, env=desk.variables(EDITOR=command),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not ready.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert list((desk.folder / "memory").iterdir()) != []
    os.killpg(process.pid, number)
    output, errors = process.communicate(timeout=30)
    assert process.returncode != 0
    assert b"Traceback" not in output + errors
    assert list((desk.folder / "memory").iterdir()) == []
    assert desk.secrets.read_bytes() == encrypted


# The command itself


def test_usage() -> None:
    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run([BIN / "loomio-pi", *arguments], capture_output=True, text=True, check=False)

    for arguments in (
        (),
        ("unheard-of",),
        ("secrets",),
        ("secrets", "unheard-of"),
        ("secrets", "init", "extra"),
    ):
        done = run(*arguments)
        assert done.returncode == 2, arguments
        assert "usage: loomio-pi" in done.stderr
        assert "Traceback" not in done.stderr
    for arguments in (("--help",), ("secrets", "--help")):
        done = run(*arguments)
        assert (done.returncode, done.stderr) == (0, "")
        assert "secrets" in done.stdout
