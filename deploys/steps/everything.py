"""All that a Pi is declared to be, in the order in which it comes into being: setup does it, verify compares
with it.
"""

from deploys.steps import agent, docker, monitoring, schedule, stack, stack_access, stack_parts, system
from deploys.steps.preflight import Target


def declare(target: Target) -> None:
    """Declare every part of the Pi. Raises nothing but what a part's own preparation raises, and asks the Pi
    nothing: each operation does that when its turn comes.
    """
    system.wait(target=target)
    system.prepare(target=target)
    docker.install(target=target)
    stack_access.place(target=target)
    stack_parts.tokens(target=target)
    monitoring.place(target=target)
    stack.place(target=target)
    docker.check_images(target=target)
    stack.fetch(target=target)
    stack.start(target=target)
    agent.install(target=target)
    agent.configure(target=target)
    agent.probe(target=target)
    stack_parts.chores(target=target)
    schedule.place(target=target)
    schedule.enable()
