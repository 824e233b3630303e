"""The parts of setup that are about the Pi itself and Docker, alone: what pyinfra runs for tests of just
these.
"""

from pyinfra.context import host

from deploys.steps import docker, preflight, system

target = preflight.look(host)
for problem in preflight.problems(target):
    raise RuntimeError(problem)
system.wait(target=target)
system.prepare(target=target)
docker.install(target=target)
