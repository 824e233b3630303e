"""From the operator's two files to pyinfra's hosts and their data, checked before any host is touched."""

from typing import Any

from inventories.passphrase import passphrase
from inventories.secrets import check_together, load_secrets
from inventories.secrets_file import require, secrets_file
from inventories.settings import Host, display, load_settings, settings_file


def declare() -> list[tuple[str, dict[str, Any]]]:
    """(name, host data) of every Pi of the settings. Raises `SettingsError`, one sentence."""
    file = settings_file()
    settings = load_settings(file)
    encrypted = secrets_file(file)
    require(encrypted)
    secrets = load_secrets(encrypted, passphrase(display(encrypted)))
    check_together(settings, secrets, display(encrypted))
    shared: dict[str, Any] = {
        "settings": settings,
        "secrets": secrets,
        "settings_file": file,
        "secrets_file": encrypted,
        # It must be host data: elsewhere pyinfra loses it for nested operations.
        "_sudo": True,
    }
    return [(name, {**shared, "host_name": name, **_ssh(host)}) for name, host in settings.hosts.items()]


def _ssh(host: Host) -> dict[str, Any]:
    data: dict[str, Any] = {"ssh_hostname": host.address, "ssh_port": host.port, "ssh_user": host.user}
    if host.ssh_key:
        data["ssh_key"] = str(host.ssh_key)
    if host.known_hosts:
        data["ssh_known_hosts_file"] = str(host.known_hosts)
    return data
