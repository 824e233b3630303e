"""A real Netdata (Debian's) shows our charts, accepts our alarms, and raises them."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from loomio_backup.monitoring import prometheus
from tests.unit.status_samples import run, status, store

from . import images
from .docker import REPOSITORY, docker, wait_until

pytestmark = pytest.mark.lab

PLACES = {
    "loomio_backup.plugin": "/etc/netdata/custom-plugins.d/loomio_backup.plugin",
    "loomio_backup.conf": "/etc/netdata/health.d/loomio_backup.conf",
}


@pytest.fixture
def netdata(tmp_path: Path) -> Iterator[str]:
    """The name of the container; `tmp_path` is where its plugin finds the file."""
    tmp_path.chmod(0o755)
    (tmp_path / "path").write_text("/metrics/loomio_backup.prom\n")
    image = images.build(images.HERE, "netdata", parts=["netdata_image"], BASE=images.base_image("bookworm"))
    mounts = [f"-v={REPOSITORY}/files/netdata/{name}:{place}:ro" for name, place in PLACES.items()]
    mounts += [f"-v={tmp_path}:/metrics:ro", f"-v={tmp_path}/path:/etc/netdata/loomio_backup.path:ro"]
    name = docker("run", "-d", *mounts, "--publish=127.0.0.1::19999", image)
    try:
        yield name
    finally:
        docker("rm", "-f", "-v", name)


def _alarms(name: str) -> dict[str, str]:
    """Our alarms by chart and name, each with its state."""
    port = docker("port", name, "19999/tcp").splitlines()[0].rpartition(":")[2]
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/alarms?all", timeout=10) as answer:
            found = json.load(answer)["alarms"]
    except OSError:
        return {}
    return {key: alarm["status"] for key, alarm in found.items() if key.startswith("loomio_backup.")}


def _are(name: str, **expected: str) -> bool:
    """Whether the alarms that end in these names have these states, and all others are clear."""
    found = {
        key.removeprefix("loomio_backup.").replace(".loomio_backup_", "__"): state
        for key, state in _alarms(name).items()
    }
    return len(found) == 11 and all(state == expected.get(key, "CLEAR") for key, state in found.items())


def test_netdata_raises_our_alarms(netdata: str, tmp_path: Path) -> None:
    path, now = tmp_path / "loomio_backup.prom", datetime.now(UTC)
    prometheus.write(replace(status(), at=now), 0, path)
    wait_until(lambda: _are(netdata), f"charts and alarms in {netdata}", 120)
    drive = store("drive", missing=["x"], late_since=now, free_bytes=10**8, used_bytes=10**10)
    bad = status(drive=drive, runs=[run("failed")], frozen="much less", disk_free_bytes=1, at=now)
    prometheus.write(bad, 3, path)
    raised = {
        "late_drive__late": "CRITICAL",
        "run__failed": "CRITICAL",
        "alarms__alarms": "WARNING",
        "content_drive__gaps": "CRITICAL",
        "frozen__frozen": "CRITICAL",
        "room_drive__room": "CRITICAL",
        "disk__disk": "CRITICAL",
    }
    wait_until(lambda: _are(netdata, **raised), "the alarms", 60)
    # A watch that is gone is noticed too.
    path.unlink()
    wait_until(lambda: _are(netdata, **raised, watch__not_watched="CRITICAL"), "the watch's alarm", 60)
