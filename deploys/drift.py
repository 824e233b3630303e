"""Is the Pi as declared? pyinfra inventories/pi.py deploys/drift.py

The first part of verify, by itself: what setup would change. `loomio-pi drift` tells failure (exit code 1)
from drift (2).
"""

from pyinfra.context import host

from deploys.steps import drift, preflight, recovery, updating, verdicts, version

verdict = verdicts.begin(host, only_drift=True)
with verdicts.noted(host, verdict):
    target = preflight.look(host)
    recovery.refuse_during_restore(host, target)
    updating.refuse_meanwhile(host, target)
    drift.compare(host, updating.without(host, version.expected(host, target)), verdict)
    verdict.finished = True
verdicts.conclude(verdict=verdict)
