"""A backup comes back on a Pi that runs: loomio-pi deploy restore --data replace_live_data=yes

Which one: the newest, or --data backup=NAME, or --data before=2026-11-22T14:30 (the newest of before that).
What of it: everything, or --data only=database, only=files. What was live is backed up first and kept aside;
on the Pi, `sudo loomio-backup undo` brings it back. Where the disk is too small for both: --data
streaming=yes. What runs then is the version that made the backup.
"""

from pyinfra.context import host

from deploys.steps import choice, preflight, recovery_report, restoring, stack

wish = restoring.wanted(host)
target = preflight.look(host)
chosen = choice.Choice(target)
restoring.restore(host=host, target=target, wish=wish)
choice.follow_backup(choice=chosen)
stack.start(target=target)
restoring.verify(target=target)
recovery_report.report(target=target, choice=chosen)
