"""The questions of `loomio-pi init` in their order, each group tried out before the next."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deploys.console import init_tests
from deploys.console.init_answers import Answers
from deploys.console.init_older import Older
from deploys.console.init_questions import (
    QUESTIONS,
    usual_ref,
    usual_repository,
    usual_timezone,
)
from deploys.steps import agent_config
from inventories.backup_settings import BackupSettings, DriveSettings
from inventories.settings import Host
from inventories.validation import SettingsError, dotted
from loomio_backup.errors import AgentError

Values = dict[tuple[str, ...], Any]


@dataclass
class Wishes:
    """`settings` and `secrets`: values by their key paths. `drive`: account, service or off."""

    name: str = ""
    settings: Values = field(default_factory=dict)
    secrets: Values = field(default_factory=dict)
    drive: str = "off"
    older: Older = field(default_factory=Older)


def asked(answers: Answers, more: Values, older: Older) -> Wishes:
    """Ask everything. `more`: settings that nobody is asked for, by their key paths."""
    wishes = Wishes(older=older, secrets=dict(older.secrets))
    for group in (_host, _stack, _smtp, _drive, _rest):
        group(answers, wishes, more)
    for path in more:
        off = [above for length in range(len(path)) if wishes.settings.get(above := path[:length]) is False]
        if off:
            raise SettingsError(
                f"The answers have {dotted(path)} below settings, and {dotted(off[0])} is off after what "
                "else they say. Nothing was written. Take one of them out."
            )
    wishes.settings |= more
    return wishes


def _ask(answers: Answers, wishes: Wishes, name: str, default: str | None = None) -> Any:
    return answers.ask(QUESTIONS[name], wishes.older.defaults.get(name, default))


def _tried(answers: Answers, test: Callable[..., str], *arguments: Any) -> bool:
    """Whether to go on: the test passed, or whoever answers says so."""
    try:
        print(f"  {test(*arguments)}")
    except (SettingsError, AgentError) as error:
        return answers.go_on(str(error))
    return True


def _host(answers: Answers, wishes: Wishes, _: Values) -> None:
    """The Pi, and how to get in."""
    while True:
        name = _ask(answers, wishes, "name", "loomio")
        values = {
            "address": _ask(answers, wishes, "address"),
            "port": _ask(answers, wishes, "port", "22"),
            "user": _ask(answers, wishes, "user", "pi"),
            "ssh_key": _ask(answers, wishes, "ssh_key", ""),
            "known_hosts": _ask(answers, wishes, "known_hosts", ""),
        }
        places = {
            key: Path(values[key]).expanduser().absolute()
            for key in ("ssh_key", "known_hosts")
            if values[key]
        }
        host = Host.model_construct(**{"ssh_key": None, **values, "known_hosts": None, **places})
        password: list[str | None] = []
        if _tried(answers, _login, answers, wishes, name, host, password):
            break
    wishes.name = name
    for key, value in {**values, **{key: str(place) for key, place in places.items()}}.items():
        if value is not None:
            wishes.settings["hosts", name, key] = value
    if not password:
        # Nobody could log in to see whether it is needed.
        password.append(_ask(answers, wishes, "sudo_password", ""))
    if word := password[0]:
        wishes.secrets["hosts", name, "sudo_password"] = word


def _login(answers: Answers, wishes: Wishes, name: str, host: Host, password: list[str | None]) -> str:
    machine = init_tests.login(name, host)
    password[:] = [None if machine.sudo == "free" else _ask(answers, wishes, "sudo_password")]
    init_tests.sudo(name, host, password[0])
    return (
        f"Logged in as {host.user}, who may use sudo: {machine.pretty}, {machine.memory_mib} MiB of memory."
    )


def _stack(answers: Answers, wishes: Wishes, _: Values) -> None:
    wishes.settings |= {
        ("timezone",): _ask(answers, wishes, "timezone", usual_timezone()),
        ("stack", "repository"): _ask(answers, wishes, "repository", usual_repository()),
        ("stack", "ref"): _ask(answers, wishes, "ref", usual_ref()),
        ("stack", "canonical_host"): _ask(answers, wishes, "canonical_host"),
        ("stack", "support_email"): _ask(answers, wishes, "support_email"),
        ("stack", "site_name"): _ask(answers, wishes, "site_name", "Loomio"),
    }


def _smtp(answers: Answers, wishes: Wishes, _: Values) -> None:
    if not _ask(answers, wishes, "smtp", "yes"):
        wishes.settings["stack", "smtp"] = False
        return
    password: str | None = None
    while True:
        values = {
            "server": _ask(answers, wishes, "smtp_server"),
            "port": _ask(answers, wishes, "smtp_port", "587"),
        }
        values |= {
            "use_ssl": _ask(answers, wishes, "smtp_use_ssl", "yes" if values["port"] == 465 else "no"),
            "auth": _ask(answers, wishes, "smtp_auth", "plain"),
            "username": _ask(answers, wishes, "smtp_username", ""),
        }
        if values["username"]:
            password = _ask(answers, wishes, "smtp_password")
        if _tried(answers, _mail, values, password):
            break
    wishes.settings |= {("stack", "smtp", key): value for key, value in values.items()}
    wishes.secrets["app", "smtp_password"] = password


def _mail(values: dict[str, Any], password: str | None) -> str:
    init_tests.mail(
        values["server"],
        values["port"],
        use_ssl=values["use_ssl"],
        username=values["username"],
        password=password,
    )
    return f"{values['server']} can be used" + (" with this login." if values["username"] else ".")


def _drive(answers: Answers, wishes: Wishes, more: Values) -> None:
    wishes.drive = _ask(answers, wishes, "drive", "account")
    if wishes.drive == "off":
        wishes.settings["backup", "drive"] = False
        return
    while True:
        credentials = _ask(answers, wishes, "drive_credentials", "") or wishes.older.credentials
        values = {
            "folder_name": _ask(answers, wishes, "drive_folder_name", "Loomio backups"),
            "folder_id": _ask(answers, wishes, "drive_folder_id", ""),
            "shared_drive_id": _ask(answers, wishes, "drive_shared_drive_id", "")
            if wishes.drive == "service"
            else None,
        }
        if credentials is None:
            break
        if _tried(answers, _probe, values, credentials, more):
            wishes.secrets["drive", "credentials"] = credentials
            break
    wishes.settings |= {("backup", "drive", key): value for key, value in values.items()}


def _probe(values: dict[str, Any], credentials: dict[str, Any], more: Values) -> str:
    others = {
        path[2]: value for path, value in more.items() if path[:2] == ("backup", "drive") and len(path) == 3
    }
    settings = BackupSettings(drive=DriveSettings(**{**values, **others}))
    store = agent_config.stores(settings).drive
    assert store is not None
    found = init_tests.drive(store, credentials)
    return (
        f"The Drive folder can be used, with {found} backups in it: a test object was stored and read back."
    )


def _rest(answers: Answers, wishes: Wishes, _: Values) -> None:
    wishes.settings["backup", "schedule"] = _ask(answers, wishes, "schedule", "0 * * * *")
    smtp = {
        path[2]: value
        for path, value in wishes.settings.items()
        if path[:2] == ("stack", "smtp") and len(path) == 3
    }
    support = wishes.settings["stack", "support_email"]
    to = _ask(answers, wishes, "alert_to", support) if smtp else None
    if to:
        login = smtp["username"]
        wishes.secrets["alerts", "smtp"] = {
            "server": smtp["server"],
            "port": smtp["port"],
            "use_ssl": smtp["use_ssl"],
            **({"username": login, "password": wishes.secrets["app", "smtp_password"]} if login else {}),
            "from": login if login and "@" in login else support,
            "to": to,
        }
    if url := _ask(answers, wishes, "alert_url", ""):
        wishes.secrets["alerts", "urls"] = [url]
