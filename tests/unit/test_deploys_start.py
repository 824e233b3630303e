"""What a recovery starts next, and what it still waits for: the order of the dependencies, told by labels."""

from __future__ import annotations

import pytest

from deploys.facts.containers import ContainersFact, Running
from deploys.operations.compose_start import closure, startable, waiting

HEALTHY, STARTED, ENDED = "service_healthy", "service_started", "service_completed_successfully"


def line(service: str, status: str, health: str = "none", code: int = 0, needs: str = "") -> str:
    """A line of the fact's script; the id is the service's name."""
    return f"id-{service} {service} {status} {code} {health} {needs}"


def look(*lines: str) -> tuple[Running, ...]:
    return ContainersFact().process(list(lines))


def test_labels_of_compose_are_understood() -> None:
    (app,) = look(line("app", "created", needs="db:service_healthy:false,redis:service_started:true,old"))
    assert app.needs == {"db": HEALTHY, "redis": STARTED, "old": STARTED}
    (alone,) = look(line("redis", "exited", code=137))
    assert (alone.needs, alone.code, alone.id) == ({}, 137, "id-redis")


@pytest.mark.parametrize(
    ("condition", "status", "health", "code", "met"),
    [
        (HEALTHY, "running", "healthy", 0, True),
        (HEALTHY, "running", "starting", 0, False),
        (HEALTHY, "running", "unhealthy", 0, False),
        (HEALTHY, "exited", "healthy", 0, False),
        (STARTED, "running", "starting", 0, True),
        (STARTED, "restarting", "none", 0, False),
        (STARTED, "exited", "none", 0, False),
        (ENDED, "exited", "none", 0, True),
        (ENDED, "exited", "none", 1, False),
        (ENDED, "running", "none", 0, False),
    ],
)
def test_what_depends_on_another_starts_when_its_condition_is_met(
    condition: str, status: str, health: str, code: int, met: bool
) -> None:
    need = line("db", status, health, code)
    containers = look(need, line("app", "created", needs=f"db:{condition}:false"))
    due = startable(containers, {"app"})
    assert due == (["id-app"] if met else [])


def test_what_needs_a_service_without_a_container_does_not_start() -> None:
    assert startable(look(line("app", "created", needs="db:service_started:false")), {"app", "db"}) == []


def test_all_containers_of_a_service_have_to_be_ready() -> None:
    app = line("app", "created", needs="db:service_healthy:false")
    containers = look(line("db", "running", "healthy"), line("db", "running", "starting"), app)
    assert startable(containers, {"app", "db"}) == []
    assert waiting(containers, {"app", "db"}) == ["app", "db"]


def test_only_what_is_wanted_and_does_not_run_is_started() -> None:
    containers = look(line("db", "running"), line("redis", "exited"), line("worker", "created"))
    assert startable(containers, {"db", "redis"}) == ["id-redis"]


def test_what_the_wanted_ones_need_is_wanted_too() -> None:
    containers = look(
        line("app", "created", needs="db:service_healthy:false"),
        line("db", "created", needs="disk:service_completed_successfully:false"),
        line("worker", "created", needs="app:service_started:false"),
    )
    assert closure(containers, ["app"]) == {"app", "db", "disk"}


def test_two_that_need_each_other_are_no_endless_loop() -> None:
    containers = look(
        line("a", "created", needs="b:service_started:false"),
        line("b", "created", needs="a:service_started:false"),
    )
    assert closure(containers, ["a"]) == {"a", "b"}


def test_it_waits_for_each_that_is_not_ready() -> None:
    containers = look(
        line("db", "running", "healthy"), line("app", "running", "starting"), line("redis", "restarting")
    )
    assert waiting(containers, {"db", "app", "redis", "absent"}) == ["absent", "app", "redis"]
    assert waiting(look(line("db", "running", "healthy")), {"db"}) == []


def test_what_others_wait_for_to_end_is_there_once_it_has_ended_well() -> None:
    def left(code: int) -> list[str]:
        once = line("migrate", "exited", code=code)
        needing = line("app", "running", needs="migrate:service_completed_successfully:false")
        return waiting(look(once, needing), {"app", "migrate"})

    assert left(0) == []
    assert left(1) == ["migrate"]
    assert waiting(look(line("app", "exited")), {"app"}) == ["app"], "nothing waits for its end"
