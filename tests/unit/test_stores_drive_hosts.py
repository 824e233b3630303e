"""Where the Drive store's bytes go: with the addresses at their defaults, to Google's hosts and to no other.

A child process gets a proxy on loopback as its only way out. One kind of proxy records and answers nothing;
the other plays Google with the emulator behind it, so that whole workflows can be recorded.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lab.drive import DriveEmulator, LabDrive
from tests.lab.drive.proxy import ConnectProxy, Impersonation

ROOT = Path(__file__).parents[2]
TOKENS, API = "oauth2.googleapis.com:443", "www.googleapis.com:443"

WORKFLOW = """
import hashlib, json, sys
from pathlib import Path
from loomio_backup.config import DriveStore
from loomio_backup.catalogue.objects import Digests
from loomio_backup.stores.drive import DriveFolder
settings, secret, folder = json.loads(sys.stdin.read())
store = DriveFolder(DriveStore(**settings), secret)
source, content = Path(folder) / "source", b"x" * 5_000_000
source.write_bytes(content)
sha256 = hashlib.sha256(content).hexdigest()
digests = Digests(len(content), sha256, len(content), sha256, hashlib.md5(content).hexdigest())
stored = store.put("object", source, digests)
assert [stored] == list(store.list())
store.get(stored, Path(folder) / "fetched")
assert (Path(folder) / "fetched").read_bytes() == content
store.replace("object", source, digests)
store.delete(stored)
"""

# One request of each kind, with an access token at hand, so that none stops at the token endpoint.
EACH_KIND = """
import json, sys
from io import BytesIO
from pathlib import Path
from loomio_backup.config import DriveStore
from loomio_backup.errors import StoreUnavailable
from loomio_backup.stores.bandwidth import Bandwidth
from loomio_backup.stores.drive_client import DriveClient
from loomio_backup.stores.patience import Backoff
kind, secret, folder = json.loads(sys.stdin.read())
drive = DriveClient(DriveStore(), secret, Backoff(first=0.01, tries=2), Bandwidth(None))
listing = drive.files.list()
if kind != "token":
    listing.http.session.credentials.token = "at hand"
source = Path(folder) / "source"
source.write_bytes(b"x")
create = drive.files.create
kinds = {
    "token": lambda: drive.call("listing", listing, bool),
    "metadata": lambda: drive.call("listing", listing, bool),
    "upload": lambda: drive.upload("storing", create, source, 1, None, bool),
    "download": lambda: drive.download("fetching", "id", BytesIO(), 1, None),
}
try:
    kinds[kind]()
except StoreUnavailable:
    print("unavailable")
"""


def _run(program: str, work: list[object], proxy: ConnectProxy, **more: str) -> str:
    environment = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    environment |= {
        "HTTPS_PROXY": proxy.url,
        "HTTP_PROXY": proxy.url,
        "PYTHONPATH": str(ROOT / "files"),
        **more,
    }
    done = subprocess.run(
        [sys.executable, "-c", program],
        input=json.dumps(work),
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stderr == ""
    assert done.returncode == 0
    return done.stdout


@pytest.mark.parametrize(
    ("kind", "host"), [("token", TOKENS), ("metadata", API), ("upload", API), ("download", API)]
)
def test_each_kind_of_request_asks_for_google(tmp_path: Path, kind: str, host: str) -> None:
    secret = {"type": "authorized_user", "client_id": "c", "client_secret": "s", "refresh_token": "r"}
    with ConnectProxy() as proxy:
        assert _run(EACH_KIND, [kind, secret, str(tmp_path)], proxy) == "unavailable\n"
        assert set(proxy.asked) == {host}


@pytest.mark.parametrize("kind", ["user", "service_account"])
def test_a_whole_workflow_asks_for_google_and_nobody_else(tmp_path: Path, kind: str) -> None:
    impersonation = Impersonation(tmp_path)
    with (
        DriveEmulator(tmp_path / "drive") as emulator,
        ConnectProxy(emulator.port, impersonation) as proxy,
    ):
        lab, settings = LabDrive(emulator.url), {}
        if kind == "user":
            secret = lab.register_user()
        else:
            secret = lab.register_service_account()
            members = {secret["client_email"]: "organizer"}
            settings = {"shared_drive_id": lab.register_shared_drive("Group", members)}
        trust = {name: str(impersonation.ca_file) for name in ("HTTPLIB2_CA_CERTS", "REQUESTS_CA_BUNDLE")}
        _run(WORKFLOW, [settings, secret, str(tmp_path)], proxy, **trust)
        assert set(proxy.asked) == {TOKENS, API}
        assert {entry["operation"] for entry in lab.log()} >= {
            "token",
            "upload.chunk",
            "download",
            "files.delete",
        }
