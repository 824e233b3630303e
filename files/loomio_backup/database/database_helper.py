"""The helper container that backups and restores share: PostgreSQL's programs beside the running database."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from loomio_backup import docker
from loomio_backup.backup import bundle
from loomio_backup.config import Config
from loomio_backup.database import postgres
from loomio_backup.docker import Helper


@contextmanager
def opened(config: Config, spool: Path) -> Iterator[Helper]:
    """A helper for the stack's own database, which may still be starting; a directory of the spool is its
    work directory. Raises SourceError when the database does not run. Only for the holder of the lock.
    """
    container = docker.service_container(config.project, config.database.service)
    work = spool / "helper"
    work.mkdir(mode=0o700)
    password = bundle.database_password(config.stack_env_file)
    with docker.helper(config.project, container, config.database.user, password, work) as helper:
        postgres.wait_until_up(helper)
        yield helper
    work.rmdir()
