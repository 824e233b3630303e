"""The stack: the clone of its repository, its `.env`, its containers."""

from pyinfra.api.deploy import deploy
from pyinfra.operations import files

from deploys.operations.compose import compose_pull, compose_up, pull_begun, wait_healthy
from deploys.operations.compose_start import compose_started
from deploys.operations.database import database_begun, database_made
from deploys.operations.git_checkout import git_checkout
from deploys.operations.secret_file import secret_file
from deploys.steps import environment, git_ssh
from deploys.steps.paths import COMPOSE_RECORD, DATABASE_BEGUN
from deploys.steps.preflight import Target


@deploy("Stack")
def place(target: Target) -> None:
    """Put the clone and its `.env` on the Pi, as the user's. Starts nothing."""
    stack = target.settings.stack
    machine = target.machine
    files.directory(
        name="Create the stack's directory",
        path=stack.directory,
        user=machine.user,
        group=machine.group,
        mode="0755",
    )
    git_checkout(
        name=f"Clone the stack's repository at {stack.ref}",
        directory=stack.directory,
        repository=stack.repository,
        ref=stack.ref,
        ssh=git_ssh.command(target.settings, target.secrets),
        _sudo=False,
    )
    secret_file(
        name="Write the stack's .env",
        path=f"{stack.directory}/.env",
        content=environment.render(target.settings, target.secrets),
        user=machine.user,
        group=machine.group,
        names=True,
        _sudo=False,
    )


@deploy("Stack")
def begin_fetch(target: Target) -> None:
    """Begin to fetch what is needed whichever version of the app it will be, in the background."""
    images = target.settings.stack.images
    pull_begun(name="Begin to fetch PostgreSQL and Redis", images=(images.postgres, images.redis))


@deploy("Stack")
def fetch(target: Target) -> None:
    """Fetch the images that are absent."""
    # Home networks break off: what was fetched stays, the rest is tried again.
    compose_pull(
        name="Fetch the images",
        directory=target.settings.stack.directory,
        project=target.settings.stack.layout.project,
        record=COMPOSE_RECORD,
        _retries=2,
        _retry_delay=10,
    )


@deploy("Stack")
def start(target: Target, services: tuple[str, ...] = (), *, promptly: bool = False) -> None:
    """Start all services, or only the given ones, and wait until they are healthy. `promptly`: where every
    second counts, and nothing runs yet that could notice the difference.
    """
    what = ", ".join(services) or "every service"
    directory, layout = target.settings.stack.directory, target.settings.stack.layout
    project = layout.project
    database_begun(
        name="Look for a database that is half made",
        project=project,
        service=layout.database,
        volume=layout.volume(layout.database_volume),
        marker=DATABASE_BEGUN,
    )
    (compose_started if promptly else compose_up)(
        name=f"Start {what}",
        directory=directory,
        project=project,
        record=COMPOSE_RECORD,
        services=services,
    )
    if not promptly:
        wait_healthy(
            name=f"Wait until healthy: {what}",
            directory=directory,
            project=project,
            record=COMPOSE_RECORD,
            services=services,
        )
    database_made(
        name="Look whether the database lets the app in",
        project=project,
        service=layout.database,
        volume=layout.volume(layout.database_volume),
        marker=DATABASE_BEGUN,
    )
