"""A newer version of the stack, as the settings name it: loomio-pi deploy update

Tried on a restored copy first (--data rehearse=no: not); then the writers stop, are backed up, and the new
version migrates and runs where nobody reaches it. If that fails, the old version and the data of when the
writers stopped are back by themselves. An update that runs already is followed.
"""

from pyinfra.context import host

from deploys.steps import agent, preflight, recovery, schedule, stack, updating

target = preflight.check(host)
recovery.refuse_during_restore(host, target)
agent.install(target=target)
agent.configure(target=target)
schedule.place(target=target)
updating.update(host=host, target=target)
stack.place(target=target)
stack.fetch(target=target)
stack.start(target=target)
