"""Setup tries a store out with the powers that scheduled backups have."""

import re

from deploys.operations.agent import PROBE_POWERS
from inventories.settings import ROOT


def test_with_the_powers_of_the_unit() -> None:
    unit = (ROOT / "templates" / "loomio-backup.service.j2").read_text()
    [bounding] = re.findall("^CapabilityBoundingSet=(.*)$", unit, re.MULTILINE)
    kept = [name.removeprefix("CAP_").lower() for name in bounding.split()]
    assert ",".join(["-all", *(f"+{name}" for name in kept)]) == PROBE_POWERS
