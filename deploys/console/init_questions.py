"""The questions of `loomio-pi init`, by name: each is about a setting or a secret."""

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from deploys.console.init_answers import Question
from inventories import checks
from inventories.settings import ROOT


def _yes(text: str) -> bool:
    if text.lower() in ("y", "yes", "true", "on"):
        return True
    if text.lower() in ("n", "no", "false", "off"):
        return False
    raise ValueError("is neither yes nor no")


def _port(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise ValueError("is not a port, 1 to 65535")
    return int(text)


def _name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?", text):
        raise ValueError("is not a usable name (letters, digits, dots and dashes)")
    return text


def _one_of(*choices: str) -> Callable[[str], str]:
    def check(text: str) -> str:
        if text not in choices:
            raise ValueError(f"is none of {', '.join(choices)}")
        return text

    return check


def _optional(check: Callable[[str], Any]) -> Callable[[str], Any]:
    return lambda text: check(text) if text else None


def _file(text: str) -> Path:
    path = Path(text).expanduser().absolute()
    if not path.is_file():
        raise ValueError("is not the path of a file")
    return path


def _credentials(text: str) -> dict[str, Any]:
    try:
        document = json.loads(_file(text).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError):
        raise ValueError("is not the path of a JSON file") from None
    if not isinstance(document, dict):
        raise ValueError("is not the path of a JSON document of Google's")
    return document


def _apprise(text: str) -> str:
    if not re.match(r"[A-Za-z0-9]+://\S", text):
        raise ValueError("is not an address of Apprise's kind, such as ntfys://ntfy.sh/topic")
    return checks.one_line(text)


_ALL = (
    Question("name", "A short name for the Pi", _name),
    Question("address", "Its address in your network (host name or IP address)", checks.address),
    Question("port", "Its SSH port", _port),
    Question("user", "The user to log in as, who may use sudo", checks.word),
    Question(
        "ssh_key", "The SSH key to log in with (empty: your SSH agent and usual keys)", _optional(_file)
    ),
    Question("known_hosts", "Your known_hosts file (empty: the usual one)", _optional(checks.one_line)),
    Question("sudo_password", "The password that sudo asks for", _optional(checks.one_line), secret=True),
    Question("timezone", "The Pi's time zone", checks.timezone),
    Question("repository", "The git repository that the Pi clones", checks.repository),
    Question("ref", "The tag or commit of it to check out", checks.word),
    Question(
        "canonical_host", "The name under which people reach Loomio, without https://", checks.host_name
    ),
    Question("support_email", "The mail address that people can write to", checks.mail),
    Question("site_name", "The name of the site", checks.one_line),
    Question("smtp", "Send mail? Without it nobody is invited or notified (yes, no)", _yes),
    Question("smtp_server", "The mail server", checks.address),
    Question("smtp_port", "Its port (587, or 465 for TLS from the start)", _port),
    Question("smtp_use_ssl", "TLS from the start, not STARTTLS (yes, no)", _yes),
    Question(
        "smtp_auth", "How to log in to it (plain, login, cram_md5)", _one_of("plain", "login", "cram_md5")
    ),
    Question("smtp_username", "The name to log in with (empty: no login)", _optional(checks.one_line)),
    Question("smtp_password", "Its password", checks.one_line, secret=True),
    Question(
        "drive",
        "Backups in Google Drive, with an ordinary or a service account? (account, service, off)",
        _one_of("account", "service", "off"),
    ),
    Question(
        "drive_credentials",
        "The JSON file with the access: a service account's key, or an authorized user (empty: later)",
        _optional(_credentials),
    ),
    Question("drive_folder_name", "The name of the folder in Drive", checks.one_line),
    Question(
        "drive_folder_id",
        "Its id, for a folder that is there already (empty: by name)",
        _optional(checks.word),
    ),
    Question("drive_shared_drive_id", "The id of the shared drive (empty: none)", _optional(checks.word)),
    Question("schedule", "When to make backups, as a cron expression", checks.cron),
    Question("alert_to", "Whom to mail when backups are in danger (empty: nobody)", _optional(checks.mail)),
    Question(
        "alert_url",
        "Another way to be told, as an Apprise address such as ntfys://ntfy.sh/topic (empty: none)",
        _optional(_apprise),
        secret=True,
    ),
    Question("kit", "Write the recovery kit now, to print it? (yes, no)", _yes),
)
QUESTIONS = {question.name: question for question in _ALL}


def usual_timezone() -> str:
    """This computer's own, or UTC."""
    name = str(Path("/etc/localtime").resolve()).partition("zoneinfo/")[2]
    try:
        return checks.timezone(name)
    except ValueError:
        return "Etc/UTC"


def usual_repository() -> str | None:
    """Where this checkout came from, if the Pi can reach that."""
    found = _git("remote", "get-url", "origin")
    return found if found and re.match(r"https?://|ssh://|[\w.-]+@[\w.-]+:", found) else None


def usual_ref() -> str | None:
    """The tag of this checkout, or its commit."""
    return _git("describe", "--tags", "--exact-match") or _git("rev-parse", "HEAD")


def _git(*arguments: str) -> str | None:
    done = subprocess.run(
        ["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=False, timeout=30
    )
    return done.stdout.strip() or None if done.returncode == 0 else None
