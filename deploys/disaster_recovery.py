"""After the death of an SD card, on new hardware: pyinfra inventories/pi.py deploys/disaster_recovery.py

The same steps as setup, except that the app is not started before its data is back: it would create an empty
database. Can be run again after any interruption. A Pi that holds data is refused, unless --data
replace_live_data=yes is given.
"""

from pyinfra.context import host

from deploys.steps import agent, docker, monitoring, preflight, recovery, schedule, stack, system
from deploys.steps.paths import KEEP_SERVICES

target = preflight.check(host)
recovery.refuse_live_data(host, target)

system.prepare()
docker.install(target=target)
stack.place(target=target)
stack.start(target=target, services=KEEP_SERVICES)
agent.install(target=target)
agent.configure(target=target)
monitoring.place(target=target)
schedule.place(target=target)
recovery.restore(host=host, target=target)
stack.start(target=target)
recovery.verify(target=target)
schedule.enable()
recovery.report(target=target)
# Last: whatever a store has to say, the data is back, and what can be backed up will be.
agent.probe(target=target)
