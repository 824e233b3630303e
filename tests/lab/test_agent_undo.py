"""A restore on a live Pi and what follows it: undone, done again, forgotten; in parts; of a time; from older
ones where the newest is damaged; and in streaming mode where the disk is too small.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from loomio_backup.catalogue.catalogue import Catalogue
from loomio_backup.restore import keeping, restore_journal
from tests.unit.pull_bench import flip

from .agent_site import DATABASE, Site, site
from .docker import docker, wait_until
from .images import base_image
from .update_site import older_postgres

pytestmark = pytest.mark.lab

RESTORE = ("restore", "--unattended", "--replace-live-data")


@pytest.fixture(scope="module")
def pi(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A Pi on which people worked on after its only backup."""
    root = tmp_path_factory.mktemp("undo")
    with site(root / "pi", "agent-undo", local=root / "disk") as made:
        made.fill()
        made.must("run")
        yield made


def state(pi: Site) -> tuple[object, object]:
    """Everything that is live."""
    return pi.database_text(), pi.files_text()


def result(pi: Site) -> dict[str, Any]:
    """What the last restore reports."""
    found: dict[str, Any] = json.loads((pi.root / "state" / "restore-result.json").read_text())
    return found


def first(pi: Site) -> str:
    """The oldest backup."""
    return str(json.loads(pi.must("list", "--json"))[-1]["name"])


def work(pi: Site) -> tuple[object, object]:
    """People work; what is live then."""
    pi.sql("DELETE FROM users WHERE id < 10; CREATE TABLE IF NOT EXISTS later (id int)")
    (pi.uploads / "later").write_text("later")
    (pi.uploads / "deep").chmod(0o750)
    pi.uploads.chmod(0o751)
    return state(pi)


@pytest.mark.parametrize("only", [(), ("--only", "database"), ("--only", "files")])
def test_nothing_live_is_replaced_unless_it_is_said(pi: Site, only: tuple[str, ...]) -> None:
    refused = pi.run("restore", "--unattended", "--newest", *only)
    assert (refused.code, "--replace-live-data" in refused.err) == (1, True)


def test_undone_is_as_it_was_and_undone_twice_is_done_again(pi: Site) -> None:
    wanted = state(pi)
    worked = work(pi)
    pi.must(*RESTORE, "--backup", first(pi))
    assert state(pi) == wanted
    compared = " ".join(result(pi)["compared"])
    assert "users" in compared
    assert "attachments: 1 of 2 rows of the database have their file" in compared
    assert "warning" not in compared

    pi.must("undo", "--unattended")
    assert state(pi) == worked
    assert not (pi.root / "state" / "restore-result.json").exists()
    pi.must("run")

    pi.must("undo", "--unattended")
    assert state(pi) == wanted

    pi.must("undo", "--forget", "--unattended")
    assert pi.sql("SELECT datname FROM pg_database WHERE datname LIKE 'loomio_%'") == DATABASE
    assert [path for path in pi.uploads.iterdir() if path.name.startswith(".loomio-")] == []
    assert state(pi) == wanted
    gone = pi.run("undo", "--unattended")
    assert (gone.code, "nothing to undo" in gone.err) == (1, True)


def kept(pi: Site) -> list[Any]:
    """What `status` says is kept aside; it says it to people, too."""
    found = json.loads(pi.run("status", "--json").out)
    noted = [note for note in found["notes"] if "undo --forget" in note]
    assert len(noted) == len(found["kept"])
    return list(found["kept"])


def test_what_is_kept_is_told_and_goes_by_itself_where_that_is_wanted(pi: Site) -> None:
    assert kept(pi) == []
    (pi.uploads / "large").write_bytes(bytes(2_000_000))
    pi.must(*RESTORE, "--backup", first(pi))
    [one] = kept(pi)
    database = int(pi.sql(f"SELECT pg_database_size('{one['database']}')"))
    assert one["bytes"] > database + 2_000_000
    assert one["backup"] == first(pi)
    pi.must("undo", "--unattended")
    [undone] = kept(pi)
    assert undone["database"].startswith("loomio_undone_")
    before = state(pi)

    with_limit = pi.config.model_copy(update={"keep_replaced_days": 30})
    pi.write_config(with_limit)
    with Catalogue(pi.root / "state" / "catalogue.sqlite") as catalogue:
        for days, goes in ((29, False), (31, True)):
            since = datetime.now(UTC) - timedelta(days=days)
            keeping.rewrite(catalogue, [replace(keeping.kept(catalogue)[0], since=since)])
            pi.run("watch")
            # What the path unit waits for; it starts `settle`.
            assert (pi.root / "state" / "restore-unsettled").exists() == goes
            pi.must("settle")
            assert len(kept(pi)) == (not goes)
    assert pi.sql("SELECT datname FROM pg_database WHERE datname LIKE 'loomio_%'") == DATABASE
    assert [path for path in pi.uploads.iterdir() if path.name.startswith(".loomio-")] == []
    assert state(pi) == before
    gone = pi.run("undo", "--unattended")
    assert (gone.code, "nothing to undo" in gone.err) == (1, True)
    (pi.uploads / "large").unlink()
    pi.write_config(with_limit.model_copy(update={"keep_replaced_days": None}))


@pytest.mark.parametrize("part", ["database", "files"])
def test_one_part_leaves_the_other_alone(pi: Site, part: str) -> None:
    database, files = state(pi)
    pi.sql("INSERT INTO active_storage_blobs VALUES (999, 'livenofile', 'local')")
    worked_database, worked_files = work(pi)
    pi.must(*RESTORE, "--backup", first(pi), "--only", part)
    [told] = [sentence for sentence in result(pi)["compared"] if "attachments:" in sentence]
    assert ("warning" in told, "livenofile" in told) == ((part == "files",) * 2), told
    assert "1 had none already when the backup was made" in told
    assert state(pi) == ((database, worked_files) if part == "database" else (worked_database, files))
    assert result(pi)["parts"] == [part]
    pi.must("undo", "--unattended")
    assert state(pi) == (worked_database, worked_files)
    pi.must(*RESTORE, "--backup", first(pi))
    assert state(pi) == (database, files)


def test_what_began_to_remove_is_known_until_all_is_back(pi: Site) -> None:
    name = first(pi)
    pi.must(*RESTORE, "--backup", name)
    wanted, made = state(pi), len(json.loads(pi.must("list", "--json")))
    # As a power cut leaves it that comes before the first removal, or in the middle of them.
    path = pi.root / "state" / "restore-journal.json"
    journal = restore_journal.load(path)
    assert journal is not None
    restore_journal.save(path, journal.model_copy(update={"state": "clearing"}))
    shutil.rmtree(pi.uploads / "deep")
    dump = pi.root.parent / "disk" / f"{name}.dump.zst.age"
    content = dump.read_bytes()
    dump.write_bytes(content[:-1])
    for only, reason in (((), "cannot be had whole"), (("--only", "files"), "bring all of that back")):
        failed = pi.run(*RESTORE, "--backup", name, *only)
        assert (failed.code, reason in failed.err) == (1, True), failed
        left = restore_journal.load(path)
        assert left is not None
        assert left.state == "clearing"
        assert (path.parent / restore_journal.MARKER).exists()
    dump.write_bytes(content)
    pi.must("settle")
    assert state(pi) == wanted
    assert len(json.loads(pi.must("list", "--json"))) == made


def test_the_newest_before_a_time_is_taken(pi: Site) -> None:
    pi.must("run")
    newest = json.loads(pi.must("list", "--json"))[0]["name"]
    work(pi)
    # A time is typed in whole seconds: this one is between the two backups.
    before = datetime.now(UTC) + timedelta(seconds=1)
    wait_until(lambda: datetime.now(UTC) > before, "the second after")
    pi.must("run")
    for typed in (f"{before:%Y-%m-%d %H:%M:%S}", before.isoformat()):
        pi.must(*RESTORE, "--before", typed)
        assert result(pi)["backup"] == newest
    too_early = pi.run(*RESTORE, "--before", "2001-01-01")
    assert (too_early.code, "no backup of before" in too_early.err) == (1, True)
    assert pi.run(*RESTORE, "--before", "yesterday").code == 2


def test_what_cannot_be_taken_is_refused_before_anything_is_staged_or_goes(pi: Site, tmp_path: Path) -> None:
    disk = pi.root.parent / "disk"
    with site(tmp_path / "older", "agent-old-pg", local=disk, keys=pi, image=older_postgres()) as older:
        (older.uploads / "mine").write_text("mine")
        refused = older.run(*RESTORE, "--backup", first(pi), "--streaming")
        assert (refused.code, "which is older" in refused.err) == (1, True), refused
        assert "staged" not in refused.out
        assert (older.uploads / "mine").read_text() == "mine"
    live, env = state(pi), pi.env.read_text()
    pi.env.write_text(env.replace("=cookie", "=another"))
    refused = pi.run(*RESTORE, "--backup", first(pi), "--streaming")
    pi.env.write_text(env)
    assert (refused.code, "other application keys" in refused.err) == (1, True), refused
    assert state(pi) == live


def test_news_that_is_missing_is_noticed(pi: Site) -> None:
    expected = pi.run(*RESTORE, "--newest", "--expect-newer-than", "2100-01-01")
    assert (expected.code, "was expected" in expected.err) == (1, True)
    assert "Nothing was changed" in expected.err


def test_damage_leads_to_an_older_one_and_the_newer_is_pinned(tmp_path: Path) -> None:
    with site(tmp_path / "pi", "agent-fall", local=tmp_path / "disk") as old:
        old.fill()
        old.must("run")
        [good] = json.loads(old.must("list", "--json"))
        old.sql("INSERT INTO other.things VALUES (3)")
        old.must("run")
        damaged = json.loads(old.must("list", "--json"))[0]["name"]
        dump = tmp_path / "disk" / f"{damaged}.dump.zst.age"
        content = bytearray(dump.read_bytes())
        content[len(content) // 2] ^= 1
        dump.write_bytes(content)
        old.must("run")
        newest = json.loads(old.must("list", "--json"))[0]["name"]
        flip(tmp_path / "disk" / f"{newest}.manifest.age")
        with site(tmp_path / "fresh", "agent-fall2", local=tmp_path / "disk", keys=old) as new:
            output = new.must("restore", "--newest", "--unattended")
            assert new.files_text() == old.files_text()
            found = result(new)
            assert found["backup"] == good["name"]
            [unreadable, passed] = found["passed_over"]
            assert (unreadable["backup"], passed["backup"]) == (newest, damaged)
            assert dump.name in passed["reason"]
            assert f"{newest}.manifest.age" in unreadable["reason"]
            assert f"{damaged} cannot be restored" in output
            pinned = {one["name"]: one["pinned"] for one in json.loads(new.run("list", "--json").out)}
            assert pinned == {damaged: True, good["name"]: False}


def test_streaming_gives_up_what_it_says_and_nothing_else(tmp_path: Path) -> None:
    with site(tmp_path / "pi", "agent-stream", local=tmp_path / "disk") as pi:
        pi.fill()
        pi.must("run")
        wanted = state(pi)
        work(pi)
        pi.must(*RESTORE, "--newest", "--streaming")
        assert state(pi) == wanted
        found = result(pi)
        assert (found["database_kept_as"], found["files_kept_in"]) == (None, {})
        gone = pi.run("undo", "--unattended")
        assert (gone.code, "Nothing was changed" in gone.err) == (1, True)
        # But what was live is in the pinned backup, which comes back like any other.
        [safety] = found["safety_backups"]
        pi.must(*RESTORE, "--backup", safety)
        assert pi.sql("SELECT count(*) FROM users") == "991"
        assert (pi.uploads / "later").read_text() == "later"


def test_streaming_reads_the_whole_backup_before_anything_goes(tmp_path: Path) -> None:
    with site(tmp_path / "pi", "agent-stream2", local=tmp_path / "disk") as pi:
        pi.fill()
        pi.must("run")
        for pack in (tmp_path / "disk").glob("app-data_*.tar.zst.age"):
            pack.write_bytes(pack.read_bytes()[:-1])
        live = state(pi)
        name = first(pi)
        refused = pi.run(*RESTORE, "--backup", name, "--streaming")
        assert (refused.code, "Nothing live was changed" in refused.err) == (1, True)
        assert state(pi) == live


def app(pi: Site, image: str) -> None:
    """Run something that passes for the app, of this image."""
    docker(
        *("run", "-d", "--name", f"{pi.project}-app", f"--label=com.docker.compose.project={pi.project}"),
        *("--label=com.docker.compose.service=app", "--stop-signal=KILL", "--entrypoint=sleep"),
        *(image, "1000"),
    )


def test_the_app_of_another_version_is_left_stopped(pi: Site) -> None:
    older, newer = base_image("trixie"), base_image("bookworm")
    app(pi, older)
    pi.must("run")
    made = json.loads(pi.must("list", "--json"))[0]["name"]
    docker("rm", "-f", f"{pi.project}-app")
    app(pi, newer)
    # There is no Compose file here, so starting it would fail.
    output = pi.must(*RESTORE, "--backup", made, "--leave-other-version-stopped", "--wish", "abc")
    assert f"{older} made {made}, and {newer} ran here" in output
    assert (result(pi)["left_for_version"], result(pi)["stack"]["images"]["app"]) == (True, older)
    assert result(pi)["wish"] == "abc"
    assert not (pi.root / "state" / "restore-unsettled").exists()


def test_a_stack_that_was_not_started_stays_due(tmp_path: Path) -> None:
    with site(tmp_path / "pi", "agent-due", local=tmp_path / "disk") as pi:
        pi.fill()
        pi.must("run")
        app(pi, "debian:trixie")
        # There is no Compose file here: everything is restored, and nothing can be started.
        for verb in ((*RESTORE, "--newest"), ("settle",)):
            outcome = pi.run(*verb)
            assert (outcome.code, "the stack did not start" in outcome.err) == (1, True), outcome
            assert (pi.root / "state" / "restore-unsettled").exists()
