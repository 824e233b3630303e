"""A fresh Raspberry Pi becomes a running, backed-up Loomio: pyinfra inventories/pi.py deploys/setup.py

Can be run again at any time: what is as declared is left alone.
"""

from pyinfra.context import host

from deploys.steps import everything, preflight, recovery, updating, version

target = preflight.check(host)
recovery.refuse_during_restore(host, target)
updating.refuse_meanwhile(host, target)
everything.declare(updating.without(host, version.in_force(host, target)))
