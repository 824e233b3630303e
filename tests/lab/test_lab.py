"""The lab clears up after itself, and leaves what it is told to leave."""

from __future__ import annotations

from pathlib import Path

import pytest

from .docker import labelled
from .lab import Lab, remove

pytestmark = pytest.mark.lab
KINDS = ("container", "volume", "network")


def left_of(lab: Lab) -> dict[str, int]:
    return {kind: len(labelled(kind, lab.label)) for kind in KINDS}


def test_nothing_is_left_unless_asked_for(tmp_path: Path) -> None:
    with Lab(tmp_path, "trixie", sudo_password=False, keep=True) as kept:
        pi = kept.new_pi()
        assert pi.run("systemctl", "is-active", "ssh.service") == "active"
    try:
        # The cloud, its apt repository, the Pi; the Pi's two volumes; the network.
        assert left_of(kept) == {"container": 3, "volume": 2, "network": 1}
    finally:
        assert len(remove(kept.name)) == 6
    assert left_of(kept) == {"container": 0, "volume": 0, "network": 0}


def test_a_lab_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def fail() -> Lab:
        with Lab(tmp_path, "trixie", sudo_password=False) as lab:
            labs.append(lab)
            raise RuntimeError("the drill broke off")

    labs: list[Lab] = []
    with pytest.raises(RuntimeError, match="broke off"):
        fail()
    assert left_of(labs[0]) == {"container": 0, "volume": 0, "network": 0}


def test_two_pis_are_two_machines(tmp_path: Path) -> None:
    with Lab(tmp_path, "trixie", sudo_password=True) as lab:
        first, second = lab.new_pi(), lab.new_pi()
        assert first.machine_id() != second.machine_id()
        keys = [pi.run("cat", "/etc/ssh/ssh_host_ed25519_key.pub") for pi in (first, second)]
        assert keys[0] != keys[1]
        # sudo asks, and takes the password that the operator has.
        assert first.sudo_password
        asked = first.run("sh", "-c", "sudo -n true 2>&1 || true", user="pi")
        assert "password is required" in asked
        assert (
            first.run("sudo", "-S", "id", "-u", input=f"{first.sudo_password}\n".encode(), user="pi") == "0"
        )
        assert not first.succeeds("sh", "-c", "command -v docker")
