"""Which version of the stack runs after a recovery: that of the backup, as far as it can be had."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from deploys.facts.version import Kept, Named, parse
from deploys.steps import environment, version
from deploys.steps.preflight import Target
from inventories.stack_settings import Layout
from tests.fake.scripted import FRESH

from . import deploys_desk as desk

OLD, NEW = "a" * 40, "b" * 40
ASKED = Named("v2", "loomio/loomio:3.6", "redis:8")


def image(reference: str, *digests: str) -> dict[str, Any]:
    return {"reference": reference, "id": "sha256:" + "1" * 64, "digests": list(digests)}


STACK = {
    "commit": OLD,
    "images": {
        "app": image("loomio/loomio:3.5", "loomio/loomio@sha256:" + "5" * 64),
        "db": image("postgres:17"),
        "redis": image("redis:7"),
    },
}


def of(stack: dict[str, Any], has_commit: bool = True, settings_commit: str = NEW) -> Named:
    return version.of_backup(ASKED, stack, Layout(), settings_commit=settings_commit, has_commit=has_commit)


def test_it_is_the_backups_commit_and_images() -> None:
    assert of(STACK) == Named(OLD, "loomio/loomio:3.5", "redis:7")


def test_a_ref_that_stands_for_that_commit_stays() -> None:
    assert of(STACK, settings_commit=OLD).ref == "v2"


def test_what_the_backup_does_not_say_is_as_the_settings_say() -> None:
    assert of({"commit": None, "images": {}}) == ASKED
    assert of(STACK, has_commit=False).ref == "v2"


def test_an_image_that_is_only_known_by_its_id_is_taken_by_its_digest() -> None:
    digest = "loomio/loomio@sha256:" + "5" * 64
    assert of({"images": {"app": image("sha256:" + "1" * 64, digest)}}).loomio == digest
    assert of({"images": {"app": image("0123456789ab")}}).loomio == ASKED.loomio


def test_the_apps_very_image_is_named_by_its_digest() -> None:
    assert version.exact("loomio/loomio:3.5", STACK, Layout()) == "loomio/loomio@sha256:" + "5" * 64
    assert version.exact("loomio/loomio:3.6", STACK, Layout()) is None
    assert version.exact("loomio/loomio:3.5", {"images": {}}, Layout()) is None


def test_the_env_file_is_that_versions(tmp_path: Path) -> None:
    settings = desk.settings(tmp_path, stack={"images": {"loomio": "loomio/loomio:3.6"}})
    target = Target("loomio", settings, desk.secrets(), FRESH, {})
    runs = version.running(target, Named(OLD, "loomio/loomio:3.5", "redis:7"))
    text = environment.render(runs.settings, runs.secrets)
    assert "LOOMIO_IMAGE=loomio/loomio:3.5\n" in text
    assert "REDIS_IMAGE=redis:7\n" in text
    assert runs.settings.stack.ref == OLD
    # What was asked for is as it was.
    assert version.named(target.settings).loomio == "loomio/loomio:3.6"


def test_the_record_comes_back_as_it_was() -> None:
    kept = Kept("loomio_backup_20261123_020000", Named(OLD, "a'b:1", "redis:7"), ASKED)
    assert parse(version.record(kept)) == kept


def test_people_are_told_what_differs_and_how_to_update() -> None:
    [said] = version.sentences(Kept("B", Named(OLD, "loomio/loomio:3.5", "redis:8"), ASKED))
    assert said.startswith(
        "The settings name loomio/loomio:3.6 (stack.images.loomio), v2 (stack.ref); B was made by "
        "loomio/loomio:3.5, commit aaaaaaaaaaaa, and that is what runs."
    )
    assert "redis" not in said


def test_an_older_postgresql_is_refused_with_what_to_write(tmp_path: Path) -> None:
    settings = desk.settings(tmp_path, stack={"images": {"postgres": "postgres:16"}})
    target = Target("loomio", settings, desk.secrets(), FRESH, {})
    answer = {
        "backup": "B", "postgresql_version": "17.6", "server_version_num": 170006, "stack": STACK,
    }  # fmt: skip
    problem = version.database_problem(target, answer, "postgres (PostgreSQL) 16.10 (Debian 16.10-1)\n")
    assert problem is not None
    assert "Nothing was started or restored; the backups are untouched." in problem
    assert "stack: {images: {postgres: 'postgres:17'}}" in problem
    for says in ("postgres (PostgreSQL) 17.2", "postgres (PostgreSQL) 18beta1", "postgres (PostgreSQL) 18.0"):
        assert version.database_problem(target, answer, says) is None


def test_only_what_the_registry_does_not_have_is_gone() -> None:
    """A tag is taken in place of the very image only then: it may name a newer one."""
    for why in (
        "Error response from daemon: manifest unknown",
        "Error response from daemon: manifest for loomio/loomio@sha256:55 not found: manifest unknown",
        'failed to resolve reference "docker.io/loomio/loomio@sha256:55": docker.io/loomio/loomio: not found',
    ):
        assert version.is_gone(why), why
    for why in (
        "dial tcp: lookup registry-1.docker.io: no such host",
        "net/http: TLS handshake timeout",
        "toomanyrequests: You have reached your pull rate limit.",
        "write /var/lib/docker/tmp: no space left on device",
        "no reason given",
    ):
        assert not version.is_gone(why), why
