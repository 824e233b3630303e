"""Is the Pi as declared, and could it come back? pyinfra inventories/pi.py deploys/verify.py

Looks at everything that setup declares, at services, timers and the newest backup, then has the agent restore
that one for proof, beside what is live (--data drill=whole, or sample, or off). Changes nothing.
`loomio-pi deploy verify` does the same, and tells failure (exit code 1) from drift (2).
"""

from pyinfra.context import host

from deploys.steps import drift, drill, preflight, recovery, updating, verdicts, verification, version

scope = drill.wanted(host)
verdict = verdicts.begin(host)
with verdicts.noted(host, verdict):
    target = preflight.look(host)
    recovery.refuse_during_restore(host, target)
    updating.refuse_meanwhile(host, target)
    drift.compare(host, updating.without(host, version.expected(host, target)), verdict)
    verification.judge(host, target, verdict, scope)
    drill.run(target=target, verdict=verdict, scope=scope)
verdicts.conclude(verdict=verdict)
