"""Is the Pi as it should be, and could it come back? Reads only: pyinfra inventories/pi.py deploys/verify.py

This version: services healthy, timer active, the newest backup complete and young enough. Anything wrong:
exit code 1.
"""

from pyinfra.context import host

from deploys.steps import preflight, verification

verification.check(host, preflight.look(host))
