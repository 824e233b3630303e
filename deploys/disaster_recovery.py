"""After the death of an SD card, on new hardware: pyinfra inventories/pi.py deploys/disaster_recovery.py

The same steps as setup, except that the app is not started before its data is back: it would create an empty
database. What runs then is the version that made the backup. Can be run again after any interruption. A Pi
that holds data is refused, unless --data replace_live_data=yes is given. Without Google Drive, --data
from=FOLDER brings the operator's copy of the backups along.
"""

from pyinfra.context import host

from deploys.steps import (
    agent,
    choice,
    copy,
    docker,
    monitoring,
    preflight,
    recovery,
    recovery_report,
    schedule,
    stack,
    stack_access,
    stack_parts,
    system,
    version,
)

clock = recovery_report.start_clock()
asked = preflight.check(host)
recovery.refuse_live_data(host, asked)
target = version.in_force(host, asked)
brought = copy.wanted(host, asked)
chosen = choice.Choice(asked)

system.wait(target=target)
docker.begin(target=target, first=system.FIRST, more=system.packages_of(target.settings.system))
agent.begin()
agent.configure(target=target)
schedule.bring(target=target)
schedule.place(target=target)
system.prepare(target=target)
docker.finish(target=target)
stack.begin_fetch(target=target)
stack_access.place(target=target)
stack_parts.tokens(target=target)
stack.place(target=target)
monitoring.place(target=target)
agent.install(target=target)
copy.bring(target=target, objects=brought)
if not recovery.taken_up(host, target):
    choice.take_version(choice=chosen, place=not recovery.replace_wanted(host))
    choice.fetch_app(choice=chosen)
docker.check_images(target=target)
stack.fetch(target=target)
choice.check_database(choice=chosen)
stack.start(target=target, services=target.settings.stack.layout.keep_services, promptly=True)
recovery.restore(host=host, target=target)
choice.settle_version(choice=chosen)
stack.start(target=target, promptly=True)
recovery.verify(target=target)
stack_parts.chores_of(choice=chosen, target=target)
schedule.enable()
recovery_report.report(target=target, choice=chosen, clock=clock)
# Last: whatever a store has to say, the data is back, and what can be backed up will be.
agent.probe(target=target)
