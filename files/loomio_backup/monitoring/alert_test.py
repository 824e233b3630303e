"""`loomio-backup alert-test`: does every way to tell a person work?"""

from loomio_backup.catalogue.catalogue import Catalogue
from loomio_backup.config import Config
from loomio_backup.credentials import Credentials
from loomio_backup.errors import AgentError, ConfigError
from loomio_backup.monitoring import notify
from loomio_backup.monitoring.notify import Message
from loomio_backup.monitoring.status import UNSENT
from loomio_backup.progress import say
from loomio_backup.state import StateDirectory

_CORRECT = (
    "Correct alerts in the secrets file (loomio-pi secrets edit), run the setup deploy, then type: "
    "loomio-backup alert-test"
)


def run(config: Config, credentials: Credentials) -> int:
    """The verb: a message to everybody, and a ping. Raises AgentError when one of them failed."""
    alerts = notify.load(credentials)
    if not alerts.any and alerts.ping_url is None:
        raise ConfigError(f"there is nobody to tell: the secrets file names no alerts. {_CORRECT}")
    test = Message(
        f"[{config.host}] Backups: a test",
        f"So you are told when something is wrong with the backups of the Pi {config.host}. This is a test.",
        "info",
    )
    ping = notify.ping(alerts, well=True)
    messages = notify.send(alerts, test)
    if all(delivery.error is None for delivery in messages):
        with Catalogue(StateDirectory(config.state_directory).catalogue) as catalogue:
            catalogue.set_meta(UNSENT, None)
    deliveries = messages + ([ping] if ping is not None else [])
    for delivery in deliveries:
        say(f"{delivery.channel}: {delivery.error or 'worked'}")
    failed = [delivery for delivery in deliveries if delivery.error is not None]
    if failed:
        raise AgentError(f"{len(failed)} of {len(deliveries)} ways to tell you do not work. {_CORRECT}")
    return 0
