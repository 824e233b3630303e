"""Every combination of optional parts on one Pi of each release, one after the other: what a setup brings
about, the next one leaves alone.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import yaml

from inventories.stack_settings import Parts
from tests.lab.combinations import COMBINATIONS, Combination
from tests.lab.docker import LabError
from tests.lab.drill import operator as desk
from tests.lab.drill.editor import merge
from tests.lab.drill.fingerprint import Fingerprint
from tests.lab.drill.operator import Operator
from tests.lab.lab import Lab
from tests.lab.pi import Pi, Release


@dataclass(frozen=True)
class Converged:
    """One combination on one release: what its first setup changed (a number), and the seconds of both."""

    release: str
    combination: str
    changed: int
    first_seconds: float
    second_seconds: float


def run_series(folder: Path, releases: Sequence[Release] = get_args(Release)) -> list[Converged]:
    """Go through all combinations on a Pi of each release. Raises LabError or AssertionError."""
    found = []
    for release in releases:
        place = folder / release
        place.mkdir()
        with Lab(place, release, sudo_password=False) as lab:
            lab.offer_parts(Parts.model_fields)
            pi = lab.new_pi()
            credentials = lab.cloud.drive.register_user()
            operator = desk.prepare(lab, port=pi.ssh_port, drive_credentials=credentials)
            plain = yaml.safe_load(operator.settings_file.read_text())
            for name, combination in COMBINATIONS.items():
                began = time.monotonic()
                changed = bring_about(operator, plain, combination)
                middle = time.monotonic()
                leaves_alone(operator, pi)
                ended = time.monotonic()
                seconds = (round(middle - began, 1), round(ended - middle, 1))
                found.append(Converged(release, name, len(changed), *seconds))
                print(f"{release}: {name}, {len(changed)} changes, then none", flush=True)
    return found


def bring_about(operator: Operator, plain: Mapping[str, object], combination: Combination) -> list[str]:
    """Put a combination into settings and secrets, and set it up; returns what that changed."""
    settings = yaml.safe_load(yaml.safe_dump(dict(plain)))
    merge(settings, combination.wanted)
    operator.settings_file.write_text(yaml.safe_dump(settings, sort_keys=False))
    desk.edit_secrets(operator, combination.needed)
    finished = operator.deploy("setup")
    if finished.code != 0:
        raise LabError(f"setup failed with {finished.code}:\n{finished.output[-6000:]}")
    return finished.changed()


def leaves_alone(operator: Operator, pi: Pi) -> None:
    """Set up again: nothing changes, seen from both sides."""
    before = Fingerprint.of(pi)
    again = operator.deploy("setup")
    assert again.code == 0, again.output[-6000:]
    assert again.changed() == []
    assert before.differences(Fingerprint.of(pi)) == []
