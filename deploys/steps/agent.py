"""The agent on the Pi: its program, its configuration, its credentials, the operator's own files for the
config object.
"""

import io

from pyinfra.api.deploy import deploy
from pyinfra.operations import files

from deploys.operations.agent import (
    agent_build_begun,
    agent_version,
    old_agent_versions_removed,
    stores_probed,
)
from deploys.operations.disk import folder_on_disk
from deploys.operations.secret_file import secret_file
from deploys.steps import agent_archive, agent_config
from deploys.steps.paths import (
    AGENT_COMMAND,
    AGENT_ROOT,
    AGENT_SETTINGS,
    AGENT_STATE,
    CREDENTIALS,
    OPERATOR,
)
from deploys.steps.preflight import Target
from loomio_backup import config as agent_model


@deploy("Agent")
def begin() -> None:
    """Begin to build the agent's program, in the background: `install` waits for it."""
    archive = agent_archive.build()
    agent_build_begun(
        name=f"Begin to build the agent {archive.version}",
        root=AGENT_ROOT,
        version=archive.version,
        archive=archive.content,
    )


@deploy("Agent")
def install(target: Target) -> None:
    """Install the agent's program; the running version stays in place until the new one is complete."""
    archive = agent_archive.build()
    files.directory(
        name="Create the agent's directory", path=AGENT_ROOT, user="root", group="root", mode="0755"
    )
    agent_version(
        name=f"Install the agent {archive.version}",
        root=AGENT_ROOT,
        version=archive.version,
        archive=archive.content,
        _retries=1,
    )
    files.link(
        name="Put loomio-backup on the path",
        path=AGENT_COMMAND,
        target=f"{AGENT_ROOT}/current/bin/loomio-backup",
    )
    old_agent_versions_removed(
        name="Remove old versions of the agent", root=AGENT_ROOT, version=archive.version
    )


@deploy("Agent")
def configure(target: Target) -> None:
    """Write what the agent reads, and make the places where it keeps things."""
    settings, secrets = target.settings, target.secrets
    local = settings.backup.local
    private = [AGENT_STATE, CREDENTIALS, OPERATOR]
    if local and not local.mount_point:
        private.append(local.path)
    files.directory(
        name=f"Create {AGENT_SETTINGS}", path=AGENT_SETTINGS, user="root", group="root", mode="0755"
    )
    for path in private:
        files.directory(name=f"Create {path}", path=path, user="root", group="root", mode="0700")
    if local and local.mount_point:
        folder_on_disk(
            name=f"Create {local.path} on its disk", path=local.path, mount_point=local.mount_point
        )
    files.put(
        name="Write the agent's configuration",
        src=io.StringIO(agent_model.dump(agent_config.build(settings, secrets, target.name))),
        dest=f"{AGENT_SETTINGS}/config.yml",
        user="root",
        group="root",
        mode="0640",
        create_remote_dir=False,
    )
    for name, content in agent_config.credentials(settings, secrets).items():
        _private_file(f"the credential {name}", f"{CREDENTIALS}/{name}", content)
    for name, content in agent_config.operator_files(settings, secrets, target.operator_files).items():
        _private_file(f"the operator's {name} for the backups", f"{OPERATOR}/{name}", content)


@deploy("Agent")
def probe(target: Target) -> None:
    """Try out every store, before anybody relies on it."""
    stores = target.settings.backup.stores
    stores_probed(name=f"Try out the stores: {', '.join(stores)}", stores=stores)


def _private_file(what: str, path: str, content: str | None) -> None:
    if content is None:
        files.file(name=f"Remove {what}", path=path, present=False)
    else:
        secret_file(name=f"Write {what}", path=path, content=content, user="root", group="root")
