"""Updates on a stack that really runs: what succeeds, and everything that fails leads back."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from loomio_backup.config import Update

from .docker import wait_until
from .update_site import UpdateSite, release, update_site

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(os.geteuid() != 0, reason="the files belong to whoever runs in the containers"),
]
WITHOUT = "--no-rehearsal"


@pytest.fixture(scope="module")
def pi(tmp_path_factory: pytest.TempPathFactory) -> Iterator[UpdateSite]:
    with update_site(tmp_path_factory.mktemp("update"), "agent-update") as made:
        yield made


def state(pi: UpdateSite) -> Any:
    return pi.database_text(), pi.files_text(), pi.images(), pi.env.read_text()


def ends_as_it_was(pi: UpdateSite, before: Any) -> None:
    assert state(pi) == before
    assert pi.app_answers() == "3.5.0"
    assert pi.left_beside() == []
    assert not (pi.root / "state" / "update-unsettled").exists()


def test_an_image_that_cannot_be_had_changes_nothing(pi: UpdateSite) -> None:
    before = state(pi)
    outcome = pi.run("update", "--loomio", "127.0.0.1:9/loomio/loomio:3.6")
    assert outcome.code == 1
    assert "the image 127.0.0.1:9/loomio/loomio:3.6 cannot be had" in outcome.err
    assert "Loomio runs as before" in outcome.err
    ends_as_it_was(pi, before)


def test_what_fails_in_the_rehearsal_fails_before_anything_stops(pi: UpdateSite) -> None:
    before, app = state(pi), pi.of("app")
    outcome = pi.run("update", "--loomio", release("3.7.0"))
    assert outcome.code == 1
    assert "the migration failed in the rehearsal, on a copy" in outcome.err
    assert "half of it is done" in outcome.err
    ends_as_it_was(pi, before)
    assert pi.of("app") == app, "the app was touched"


@pytest.mark.parametrize(
    ("version", "reason"),
    [
        ("3.7.0", "the migration failed (exit code 1)"),
        ("3.8.0", "does not run on the live data"),
        ("3.8.1", "worker of the new version does not run on the live data. It said: no worker here"),
    ],
)
def test_what_fails_on_the_live_data_leads_back(pi: UpdateSite, version: str, reason: str) -> None:
    before, patient = state(pi), pi.config
    if version == "3.8.0":
        pi.write_config(patient.model_copy(update={"update": Update(healthy_seconds=3)}))
    outcome = pi.run("update", WITHOUT, "--loomio", release(version))
    pi.write_config(patient)
    assert outcome.code == 1
    assert reason in outcome.err
    assert "the update was taken back" in outcome.err
    ends_as_it_was(pi, before)
    result = pi.result()
    assert result["outcome"] == "went back"
    assert result["down_seconds"] > 0
    assert "tables has as many rows as were counted" in result["compared"][0]
    listed = pi.must("list")
    assert "before-update, pinned" in listed


def cut_off(pi: UpdateSite, at: str) -> None:
    """Kill an update, with everything that it started, as soon as its journal says this."""
    running = pi.start("update", WITHOUT, "--loomio", release("3.9.0"))
    wait_until(lambda: pi.journal().get("state") == at and running.poll() is None, at, 120, every=0.01)
    if at == "changing":
        # It hangs in its migration, and has meddled with the files by then.
        wait_until(lambda: (pi.storage / "added").exists(), "the migration has begun", 120)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    assert (pi.root / "state" / "update-unsettled").exists()


@pytest.mark.parametrize(("at", "verb"), [("stopping", "settle"), ("copying", "update --back")])
def test_a_power_cut_before_anything_changed_leads_back(pi: UpdateSite, at: str, verb: str) -> None:
    before = state(pi)
    cut_off(pi, at)
    pi.must(*verb.split())
    ends_as_it_was(pi, before)


def test_a_power_cut_in_the_migration_is_settled_before_anything_else_begins(pi: UpdateSite) -> None:
    before = state(pi)
    cut_off(pi, "changing")
    for other in (("run",), ("restore", "--newest", "--unattended"), ("undo", "--unattended")):
        outcome = pi.run(*other)
        assert outcome.code == 1
        assert "an update was interrupted half-way" in outcome.err
    # Whatever the way back leads to, Loomio comes up again, and a difference is told loudly.
    original = pi.journal()["original"]
    pi.sql(f"ALTER DATABASE {original} ALLOW_CONNECTIONS true", "postgres")
    pi.sql("INSERT INTO schema_migrations VALUES ('0001')", original)
    outcome = pi.run("settle")
    assert outcome.code == 1
    assert "the old version runs again, but" in outcome.err
    assert "public.schema_migrations has" in outcome.err
    assert "public.schema_migrations has" in pi.result()["problem"]
    pi.sql("DELETE FROM schema_migrations WHERE version = '0001'")
    ends_as_it_was(pi, before)
    assert "no restore and no update was left half-done" in pi.must("settle")


def test_a_good_one_updates_and_an_older_one_is_refused(pi: UpdateSite) -> None:
    said = pi.must("update", "--loomio", release("3.6.0"))
    assert "rehearsal: on a copy of" in said
    assert "Loomio was down for" in said
    assert pi.app_answers() == "3.6.0"
    assert set(pi.images().values()) >= {release("3.6.0")}
    assert pi.images()["worker"] == pi.images()["hocuspocus"] == release("3.6.0")
    assert pi.sql("SELECT DISTINCT lab_release FROM users").strip() == "3.6.0"
    # The copy has all that the original had.
    setting = "SELECT setconfig FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase"
    assert "statement_timeout=7min" in pi.sql(setting)
    assert pi.left_beside() == []
    result = pi.result()
    assert (result["outcome"], result["problem"]) == ("updated", None)
    assert result["phases"].keys() >= {"rehearsal", "backup", "copy", "migration", "trial"}
    assert "nothing to update" in pi.must("update", "--loomio", release("3.6.0"))
    pi.must("run")
    before = state(pi)
    outcome = pi.run("update", "--loomio", "loomio/loomio:3.5.9")
    assert outcome.code == 1
    assert "is older than loomio-lab/release:3.6.0, which runs" in outcome.err
    assert state(pi) == before
