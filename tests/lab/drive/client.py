"""The lab's side of the emulator's back door: register accounts, inject faults, read the log, damage objects.

Standard library only, so that it works wherever the emulator does.
"""

from __future__ import annotations

import base64
import json
import secrets
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any

DRIVE_FILE = "https://www.googleapis.com/auth/drive.file"
DRIVE = "https://www.googleapis.com/auth/drive"


class LabDrive:
    """Talks to /_lab of a running emulator at `url` (with or without a trailing slash)."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/") + "/"

    @property
    def token_uri(self) -> str:
        return self.url + "token"

    def register_user(
        self,
        email: str = "group@example.org",
        quota: int | None = None,
        scopes: Sequence[str] = (DRIVE_FILE,),
    ) -> dict[str, str]:
        """A user with a fresh OAuth client and refresh token; returns `authorized_user` credentials for the
        agent.
        """
        client_id, client_secret = _new_client()
        token = "1//" + secrets.token_urlsafe(60)
        self.post(
            "state",
            {
                "users": [{"email": email} | ({} if quota is None else {"quota": quota})],
                "clients": [{"id": client_id, "secret": client_secret}],
                "refresh_tokens": [
                    {"token": token, "email": email, "client_id": client_id, "scopes": list(scopes)}
                ],
            },
        )
        return {
            "type": "authorized_user",
            "client_id": client_id,
            "client_secret": client_secret,
            "refresh_token": token,
        }

    def register_account(self, email: str = "group@example.org", quota: int | None = None) -> str:
        """A user who has agreed to nothing yet; returns the address."""
        self.post("state", {"users": [{"email": email} | ({} if quota is None else {"quota": quota})]})
        return email

    def register_client(self, device: bool = False) -> dict[str, dict[str, str]]:
        """An OAuth client; returns what Google lets people download about it (client_secret_….json)."""
        client_id, client_secret = _new_client()
        self.post("state", {"clients": [{"id": client_id, "secret": client_secret, "device": device}]})
        return {
            "installed": {
                "client_id": client_id,
                "project_id": "group-backups",
                "auth_uri": "https://accounts.google.com/o/oauth2/auth",
                "token_uri": "https://oauth2.googleapis.com/token",
                "auth_provider_x509_cert_url": "https://www.googleapis.com/oauth2/v1/certs",
                "client_secret": client_secret,
            }
        }

    def register_service_account(self, email: str = "pi@project.iam.gserviceaccount.com") -> dict[str, str]:
        """A service account with a fresh key; returns its JSON key file. Needs `cryptography`."""
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import rsa

        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        numbers = key.public_key().public_numbers()
        public = {"n": _base64(numbers.n), "e": _base64(numbers.e)}
        self.post("state", {"service_accounts": [{"email": email, "public_key": public}]})
        encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        return {
            "type": "service_account",
            "project_id": "project",
            "private_key_id": secrets.token_hex(20),
            "private_key": key.private_bytes(encoding, form, serialization.NoEncryption()).decode(),
            "client_email": email,
            "client_id": str(secrets.randbelow(10**21)),
            "token_uri": "https://oauth2.googleapis.com/token",
        }

    def delegate(self, user: str, service_account: str, scopes: Sequence[str] = (DRIVE,)) -> None:
        """Let a service account act for a user, as a Workspace administrator grants it."""
        self.post("state", {"users": [{"email": user, "delegations": {service_account: list(scopes)}}]})

    def register_shared_drive(self, name: str, members: Mapping[str, str]) -> str:
        """A shared drive; `members` maps addresses to roles (reader, writer, fileOrganizer, organizer).
        Returns its id.
        """
        drive_id = "0A" + secrets.token_urlsafe(12)[:14] + "PVA"
        self.post("state", {"shared_drives": [{"id": drive_id, "name": name, "members": dict(members)}]})
        return drive_id

    def set_role(self, drive_id: str, email: str, role: str) -> None:
        """Change one member's role in a shared drive."""
        known = next(drive for drive in self.state()["shared_drives"] if drive["id"] == drive_id)
        members = known["members"] | {email: role}
        self.post("state", {"shared_drives": [{"id": drive_id, "name": known["name"], "members": members}]})

    def state(self) -> dict[str, Any]:
        """Accounts, clients, grants and shared drives, without secrets."""
        state: dict[str, Any] = json.loads(self._call("GET", "state", None))
        return state

    def let_lists_catch_up(self) -> None:
        """End every delay that a `hide` rule has caused."""
        self.post("state", {"lists_catch_up": True})

    def set_quota(self, email: str, quota: int | None) -> None:
        """Change how many bytes a user may store."""
        self.post("state", {"users": [{"email": email, "quota": quota}]})

    def revoke(self, credentials: dict[str, str]) -> None:
        """Let a refresh token die, as Google does after seven days in testing mode."""
        self.post("state", {"refresh_tokens": [{"token": credentials["refresh_token"], "revoked": True}]})

    def fault(
        self,
        kind: str,
        times: int | None = 1,
        skip: int = 0,
        match: dict[str, Any] | None = None,
        **options: Any,
    ) -> None:
        """Put a fault rule in force; see faults.py for kinds and options."""
        self.post("faults", {"kind": kind, "times": times, "skip": skip, "match": match or {}, **options})

    def faults(self) -> list[dict[str, Any]]:
        """The rules in force, each with how often it struck."""
        rules: list[dict[str, Any]] = json.loads(self._call("GET", "faults", None))
        return rules

    def clear_faults(self) -> None:
        """Behave again."""
        self._call("DELETE", "faults", None)

    def damage(self, name: str, kind: str = "flip", rehash: bool = False) -> dict[str, Any]:
        """Spoil the stored bytes of a file."""
        spoilt: dict[str, Any] = self.post("damage", {"name": name, "kind": kind, "rehash": rehash})
        return spoilt

    def log(self) -> list[dict[str, Any]]:
        """The request log, oldest first."""
        return [json.loads(line) for line in self._call("GET", "log", None).decode().splitlines()]

    def clear_log(self) -> None:
        """Start an empty log."""
        self._call("DELETE", "log", None)

    def files(self) -> list[dict[str, Any]]:
        """Every file and folder of every account."""
        found: list[dict[str, Any]] = json.loads(self._call("GET", "files", None))
        return found

    def post(self, door: str, body: dict[str, Any]) -> Any:
        """POST JSON to /_lab/<door>."""
        return json.loads(self._call("POST", door, json.dumps(body).encode()))

    def _call(self, method: str, door: str, body: bytes | None) -> bytes:
        request = urllib.request.Request(f"{self.url}_lab/{door}", body, method=method)
        # No proxy: the lab's own address is never behind one, whatever the environment says.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=60) as answer:
            content: bytes = answer.read()
        return content


def _new_client() -> tuple[str, str]:
    client_id = f"{secrets.randbelow(10**12):012d}-{secrets.token_hex(8)}.apps.googleusercontent.com"
    return client_id, "GOCSPX-" + secrets.token_urlsafe(21)


def _base64(number: int) -> str:
    raw = number.to_bytes((number.bit_length() + 7) // 8)
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
