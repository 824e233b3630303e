"""The way to a private repository: its deploy key, and the keys that its server is known by."""

import io

from pyinfra.api.deploy import deploy
from pyinfra.operations import files

from deploys.operations.secret_file import secret_file
from deploys.steps.paths import DEPLOY_KEY, GIT_KNOWN_HOSTS, STACK_SETTINGS
from deploys.steps.preflight import Target
from inventories import git_server


@deploy("Stack")
def place(target: Target) -> None:
    """Write the key, which only the clone's owner can read, and the server's keys; or remove them."""
    stack, machine = target.settings.stack, target.machine
    server = git_server.over_ssh(stack.repository)
    key = target.secrets.stack.deploy_key
    if server or target.settings.stack.parts.tunnel:
        files.directory(
            name=f"Create {STACK_SETTINGS}", path=STACK_SETTINGS, user="root", group="root", mode="0755"
        )
    if server:
        files.put(
            name="Write the keys of the git server",
            src=io.StringIO(git_server.known_hosts(server, stack.host_keys)),
            dest=GIT_KNOWN_HOSTS,
            user="root",
            group="root",
            mode="0644",
            create_remote_dir=False,
        )
    else:
        files.file(name="Remove the keys of the git server", path=GIT_KNOWN_HOSTS, present=False)
    if key:
        secret_file(
            name="Write the deploy key",
            path=DEPLOY_KEY,
            content=key.get_secret_value(),
            user=machine.user,
            group=machine.group,
        )
    else:
        files.file(name="Remove the deploy key", path=DEPLOY_KEY, present=False)
