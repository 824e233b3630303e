"""How git on the Pi reaches the stack's repository over SSH: pure."""

from deploys.steps.paths import DEPLOY_KEY, GIT_KNOWN_HOSTS
from inventories import git_server
from inventories.secrets import Secrets
from inventories.settings import Settings

#: Nobody is there to answer, and a server that another key stands for is refused.
_STRICT = (
    "ssh -o BatchMode=yes -o ConnectTimeout=20 -o StrictHostKeyChecking=yes "
    f"-o UserKnownHostsFile={GIT_KNOWN_HOSTS} -o GlobalKnownHostsFile=/dev/null"
)


def command(settings: Settings, secrets: Secrets) -> str:
    """git's `core.sshCommand`; empty for a repository that is not reached over SSH.

    Without a deploy key, whatever keys the clone's owner has on the Pi are tried.
    """
    if git_server.over_ssh(settings.stack.repository) is None:
        return ""
    if secrets.stack.deploy_key is None:
        return _STRICT
    return f"{_STRICT} -F none -o IdentityAgent=none -o IdentitiesOnly=yes -i {DEPLOY_KEY}"
