"""From the operator's two files to pyinfra's hosts and their data, checked before any host is touched."""

from typing import Any

from inventories import prompt_ssh
from inventories.passphrase import passphrase
from inventories.secrets import check_apart, check_together, checked
from inventories.secrets_file import decrypted, require, secrets_file
from inventories.settings import Host, display, load_every, settings_file


def declare() -> list[tuple[str, dict[str, Any]]]:
    """(name, host data) of every Pi of the settings. Raises `SettingsError`, one sentence."""
    file = settings_file()
    every = load_every(file)
    encrypted = secrets_file(file)
    require(encrypted)
    shown = display(encrypted)
    text = decrypted(encrypted, passphrase(shown, encrypted))
    secrets = {name: checked(text, shown, name) for name in every}
    for name, settings in every.items():
        check_together(settings, secrets[name], shown)
    check_apart(secrets, shown)
    return [
        (
            name,
            {
                "settings": settings,
                "secrets": secrets[name],
                "settings_file": file,
                "secrets_file": encrypted,
                # It must be host data: elsewhere pyinfra loses it for nested operations.
                "_sudo": True,
                "host_name": name,
                **_ssh(settings.hosts[name]),
            },
        )
        for name, settings in every.items()
    ]


def _ssh(host: Host) -> dict[str, Any]:
    data: dict[str, Any] = {
        "ssh_hostname": host.address,
        "ssh_port": host.port,
        "ssh_user": host.user,
        "ssh_paramiko_connect_kwargs": {"transport_factory": prompt_ssh.transport},
    }
    if host.ssh_key:
        data["ssh_key"] = str(host.ssh_key)
    if host.known_hosts:
        data["ssh_known_hosts_file"] = str(host.known_hosts)
    return data
