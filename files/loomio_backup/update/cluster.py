"""A newer major version of PostgreSQL cannot read the files of an older one: dumped from the old server,
restored into a new one on a volume of its own, compared; then the files of both change places.

Docker cannot rename volumes, so the files move between them, by renames within one file system. The old ones
are kept in a volume of their own until somebody lets them go.
"""

import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from loomio_backup import clock, docker
from loomio_backup.backup import bundle, reading
from loomio_backup.backup.fifo import FifoReader, make_fifo
from loomio_backup.config import Config
from loomio_backup.database import database_helper, postgres
from loomio_backup.database.postgres import MAINTENANCE_DATABASE
from loomio_backup.database.psql import session
from loomio_backup.docker import WORK, Helper
from loomio_backup.drill import drill_bench
from loomio_backup.drill.drill_bench import Place
from loomio_backup.errors import UpdateError
from loomio_backup.progress import say
from loomio_backup.restore import restore_database, restore_fed, restore_switch
from loomio_backup.restore.keeping import Kept
from loomio_backup.state import StateDirectory, sync_directory
from loomio_backup.streams import Sink
from loomio_backup.update import compose
from loomio_backup.update.update_journal import Cluster

_DUMP = f'exec pg_dump -Fc -Z0 --no-sync --no-password -f {WORK}/dump -d "$1"'
_BLOCK = 1 << 20
Save = Callable[[], None]


def planned(config: Config, id_: str) -> Cluster:
    """What a change of the major version moves. Raises UpdateError where the files cannot be moved."""
    mount = docker.data_mount(docker.service_container(config.project, config.database.service))
    if mount is None:
        raise UpdateError(
            "nothing was updated: PostgreSQL's files are in no volume, so they cannot be put aside for a "
            "newer major version. Keep the version that runs in the settings (stack.images.postgres)."
        )
    return Cluster(
        live=mount.source,
        dress=restore_switch.attributes(mount.source),
        new=f"{config.project}_db-data-{id_}",
        old=f"{config.project}_db-data-before-{clock.now():%Y%m%d-%H%M%S}",
    )


def refuse_kept(kept: Sequence[Kept]) -> None:
    """Raise UpdateError while a database is kept aside: only the live one goes over, and `undo` would find
    the others no more.
    """
    for one in kept:
        if one.database is not None:
            raise UpdateError(
                f"nothing was updated: the restore of {one.backup} keeps the database of before aside "
                f"({one.database}), and a newer PostgreSQL takes over the live one only. If all is well, let "
                "go of what is kept: loomio-backup undo --forget. Then the same again"
            )


def upgrade(config: Config, state: StateDirectory, cluster: Cluster, image_id: str, save: Save) -> None:
    """Make the new one, and put it in the old one's place; both servers are stopped afterwards."""
    database = docker.service_container(config.project, config.database.service)
    mount = docker.data_mount(database)
    assert mount is not None
    docker.docker("volume", "create", cluster.new)
    password = bundle.database_password(config.stack_env_file)
    place = Place(cluster.new, str(mount.destination), str(mount.data), password)
    with (
        reading.place(state, "verify", wait=True) as directory,
        drill_bench.bench(config.project, directory) as bench,
        bench.database(image_id, config.database.user, place) as copy,
        database_helper.opened(config, state.spool) as helper,
    ):
        _take_over(config.database.name, helper, copy.helper)
        # Everything on the disk, so that the next server has nothing to make good.
        docker.docker("stop", "-t", "120", copy.container)
    compose.stop_kept(config)
    _exchange(cluster, save)


def _take_over(database: str, old: Helper, new: Helper) -> None:
    """Roles, properties and content of the database; every table is counted in both."""
    with session(old, MAINTENANCE_DATABASE) as sql:
        roles, properties = postgres.roles(sql), postgres.database_properties(sql, database)
        before, _ = postgres.server_version(sql)
    with session(new, MAINTENANCE_DATABASE) as sql:
        restore_database.make_roles(sql, roles)
        restore_database.make_database(sql, database, properties)
        after, _ = postgres.server_version(sql)
    _pipe(database, old, new)
    counts = []
    for helper in (old, new):
        with session(helper, database) as sql:
            counts.append(postgres.count_all(sql, postgres.table_names(sql)))
    if counts[0] != counts[1]:
        raise UpdateError(
            f"PostgreSQL {after} holds other rows than {before}, so it was not put in its place."
        )
    with session(new, database) as sql:
        sql.execute("ANALYZE")
    say(f"update: {sum(counts[0].values())} rows went from PostgreSQL {before} to {after}, compared")


def _pipe(database: str, old: Helper, new: Helper) -> None:
    with tempfile.TemporaryFile() as stderr:
        fifo = make_fifo(old.directory / "dump")
        dump = old.start(_DUMP, database, stdout=subprocess.DEVNULL, stderr=stderr)
        reader = FifoReader(fifo, lambda: dump.poll() is None)

        def feed(sink: Sink) -> int:
            passed = 0
            while block := reader.read(_BLOCK):
                sink.write(block)
                passed += len(block)
            if dump.wait() != 0:
                stderr.seek(0)
                said = stderr.read().decode(errors="replace").strip()
                raise UpdateError(f"the old server's database could not be dumped: {said}.")
            return passed

        try:
            restore_fed.fed(
                new, restore_fed.RESTORE, database, "the new PostgreSQL could not take the dump in", feed
            )
        finally:
            reader.close()
            dump.kill()
            dump.wait()
            fifo.unlink()


def _exchange(cluster: Cluster, save: Save) -> None:
    new, old = directory_of(cluster.new), directory_of(cluster.old)
    cluster.moved = "out"
    save()
    _move(cluster.live, old)
    cluster.moved = "in"
    save()
    _move(new, cluster.live)
    docker.docker("volume", "rm", cluster.new)


def bring_back(config: Config, state: StateDirectory, cluster: Cluster, save: Save) -> None:
    """Let the old one's files be where they were; what the new one wrote goes. No server may run. Can be
    repeated.
    """
    with reading.place(state, "verify", wait=True):
        # A server of the bench may still use the new volume.
        drill_bench.clear(config.project)
    let_back(cluster, save)


def let_back(cluster: Cluster, save: Save) -> None:
    """Move the files back. Can be repeated."""
    if cluster.moved == "in":
        _move(cluster.live, directory_of(cluster.new))
        cluster.moved = "out"
        save()
    if cluster.moved == "out":
        _move(directory_of(cluster.old), cluster.live)
        restore_switch.dress_as(cluster.live, cluster.dress)
        cluster.moved = "nothing"
        save()
    for volume in (cluster.new, cluster.old):
        docker.docker("volume", "rm", "-f", volume)


def directory_of(volume: str) -> Path:
    """The directory of a volume, which is made when it is absent."""
    docker.docker("volume", "create", volume)
    found = docker.volume_mountpoint(volume)
    assert found is not None
    return found


def _move(source: Path, target: Path) -> None:
    """Everything in a directory, with the directory's own owner and mode; the rest of it after an
    interruption.
    """
    restore_switch.dress_as(target, restore_switch.attributes(source))
    restore_switch.move_children(source, target)
    sync_directory(source)
