"""A fresh Raspberry Pi becomes a running, backed-up Loomio: pyinfra inventories/pi.py deploys/setup.py

Can be run again at any time: what is as declared is left alone.
"""

from pyinfra.context import host

from deploys.steps import agent, docker, monitoring, preflight, recovery, schedule, stack, system, version

target = preflight.check(host)
recovery.refuse_during_restore(host, target)
target = version.in_force(host, target)

system.prepare()
docker.install(target=target)
stack.place(target=target)
stack.fetch(target=target)
stack.start(target=target)
agent.install(target=target)
agent.configure(target=target)
agent.probe(target=target)
monitoring.place(target=target)
schedule.place(target=target)
schedule.enable()
