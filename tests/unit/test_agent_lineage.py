"""Whose backups are in the stores: every case in which a Pi must not go on."""

from __future__ import annotations

import pytest

from loomio_backup.catalogue.catalogue import Lineage
from loomio_backup.catalogue.lineage import (
    Found,
    continued,
    is_lost,
    refuse_empty_sources,
    refuse_sudden_emptiness,
)
from loomio_backup.catalogue.manifest import AppDataContent, DatabaseContent, SourceContent
from loomio_backup.errors import BackupError

from .agent_samples import manifest, summary

OURS = "i" * 32
OWN = Lineage(OURS, generation=2, sequence=5, previous="loomio_backup_2_5")


def _continued(own: Lineage | None, *found: Found, live_data: bool = False) -> Lineage:
    return continued(own, found, live_data)


@pytest.mark.parametrize("live_data", [True, False])
def test_first_backup_of_all_starts_a_lineage(live_data: bool) -> None:
    started = _continued(None, Found("local", [], []), live_data=live_data)
    assert (started.generation, started.sequence, started.previous) == (1, 0, None)
    assert len(started.instance) == 32
    assert started.instance != _continued(None).instance


def test_an_empty_pi_does_not_follow_a_history() -> None:
    with pytest.raises(BackupError, match=r"drive.*loomio_backup_1_1.*untouched.*disaster_recovery"):
        _continued(None, Found("local", [], []), Found("drive", [summary()], []))


def test_a_pi_with_data_that_lost_its_catalogue_goes_on_as_a_new_generation() -> None:
    local = Found("local", [summary(4, 2), summary(9, 1)], [], ["damaged.manifest.age"])
    drive = Found("drive", [summary(5, 2)], [])
    assert is_lost(None, [local, drive])
    assert not is_lost(OWN, [local, drive])
    assert not is_lost(None, [Found("local", [], ["x"])])
    adopted = _continued(None, local, drive, live_data=True)
    assert adopted == Lineage(OURS, 3, 0, "loomio_backup_2_5")


@pytest.mark.parametrize("live_data", [True, False])
@pytest.mark.parametrize(
    ("found", "said"),
    [
        (Found("drive", [], ["x.manifest.age"]), "do not open"),
        (Found("drive", [summary()], ["x.manifest.age"]), "do not open"),
        (Found("drive", [], [], ["x.manifest.age"]), "did not sign"),
    ],
)
def test_a_history_that_cannot_be_read_is_not_followed(found: Found, said: str, live_data: bool) -> None:
    with pytest.raises(BackupError, match=rf"drive.*{said}.*x\.manifest\.age.*untouched.*disaster_recovery"):
        _continued(None, Found("local", [], []), found, live_data=live_data)


def test_a_history_of_several_loomios_is_not_followed() -> None:
    found = [Found("local", [summary(1)], []), Found("drive", [summary(2, instance="j" * 32)], [])]
    with pytest.raises(BackupError, match=r"several Loomios.*untouched"):
        _continued(None, *found, live_data=True)


def test_own_history_is_continued() -> None:
    found = Found("local", [summary(4, 2), summary(5, 2), summary(9, 1)], [])
    assert _continued(OWN, *[found]) == OWN


def test_a_store_that_knows_more_is_believed() -> None:
    """The run that published number 7 died before it could write that down, or the SD card is an old copy."""
    found = Found("local", [summary(6, 2), summary(7, 2)], [])
    assert _continued(OWN, *[found]) == Lineage(OURS, 2, 7, "loomio_backup_2_7")


def test_a_higher_generation_means_another_pi_has_taken_over() -> None:
    with pytest.raises(BackupError, match="another Pi has taken over"):
        _continued(OWN, Found("local", [summary(5, 2), summary(1, 3)], []))


def test_another_loomio_in_the_same_folder_is_refused() -> None:
    with pytest.raises(BackupError, match="another Loomio"):
        _continued(OWN, Found("drive", [summary(1, 1, "j" * 32)], []))


def test_backups_that_no_key_opens_are_refused() -> None:
    with pytest.raises(BackupError, match=r"do not open.*x\.manifest\.age"):
        _continued(OWN, Found("drive", [summary(5, 2)], ["x.manifest.age"]))


DATA = {"public.users": 1, "public.topics": 0}
FILES = {"storage": SourceContent(files=1, bytes=1), "uploads": SourceContent(files=1, bytes=1)}
NOTHING = SourceContent(files=0, bytes=0)


def test_emptiness_after_data_is_a_failure() -> None:
    refuse_sudden_emptiness(None, {})
    refuse_empty_sources(None, {})
    refuse_sudden_emptiness(manifest(), DATA)
    with pytest.raises(BackupError, match=r"loomio_production is empty.*untouched.*loomio-backup restore"):
        refuse_sudden_emptiness(manifest(), {})


def test_a_source_that_is_suddenly_empty_is_named() -> None:
    """Its disk or volume is not mounted, as likely as not."""
    before = manifest(app_data=_app_data(storage=7, uploads=3))
    refuse_empty_sources(before, FILES)
    with pytest.raises(BackupError, match=r"no files at all in uploads .*holds 3 there.*untouched.*mounted"):
        refuse_empty_sources(before, FILES | {"uploads": NOTHING})
    with pytest.raises(BackupError, match=r"in storage and uploads .*holds 10 there"):
        refuse_empty_sources(before, {"storage": NOTHING, "uploads": NOTHING})
    # What was empty before may stay so, and what is not configured any more was given up on purpose.
    refuse_empty_sources(manifest(app_data=_app_data(storage=7, uploads=0)), FILES | {"uploads": NOTHING})
    refuse_empty_sources(before, {"storage": FILES["storage"]})


def test_files_that_older_programs_counted_together_are_missed_together() -> None:
    with pytest.raises(BackupError, match=r"no files at all in storage .*holds 2 there"):
        refuse_empty_sources(manifest(), {"storage": NOTHING})


def _app_data(**sources: int) -> AppDataContent:
    return AppDataContent(
        sources=sorted(sources),
        files=sum(sources.values()),
        directories=1,
        symlinks=0,
        bytes=100,
        changed_while_read=[],
        by_source={name: SourceContent(files=files, bytes=files) for name, files in sources.items()},
    )


def test_what_rails_writes_down_for_itself_is_no_data() -> None:
    fresh = {"public.schema_migrations": 900, "public.ar_internal_metadata": 2, "public.users": 0}
    fresh["public.solid_queue_processes"] = 3
    with pytest.raises(BackupError, match="loomio_production is empty"):
        refuse_sudden_emptiness(manifest(), fresh)
    # What is called the same elsewhere is somebody's.
    refuse_sudden_emptiness(manifest(), DATA | {"other.schema_migrations": 1})


@pytest.mark.parametrize("tables", [{"public.users": 0, "public.topics": 4}, {"public.topics": 4}])
def test_no_users_after_users_is_a_failure(tables: dict[str, int]) -> None:
    with pytest.raises(BackupError, match=r"no users any more.*3 users.*untouched"):
        refuse_sudden_emptiness(manifest(), tables)


@pytest.mark.parametrize("tables", [{}, {"public.schema_migrations": 1, "public.users": 0}])
def test_emptiness_after_emptiness_is_not(tables: dict[str, int]) -> None:
    database = DatabaseContent(
        name="d", postgresql_version="17", server_version_num=170000, schema_migration=None, tables=tables
    )
    before = manifest(database=database, app_data=_app_data())
    refuse_sudden_emptiness(before, {})
    refuse_empty_sources(before, {"storage": NOTHING})
