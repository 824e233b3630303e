"""One backup, now: pyinfra inventories/pi.py deploys/backup.py

With --data label=before-update it bears that label and is pinned: it stays until you unpin it.
"""

from pyinfra.context import host

from deploys.steps import backup, preflight, recovery

label = backup.wanted_label(host)
target = preflight.look(host)
recovery.refuse_during_restore(host, target)
backup.make(label=label)
