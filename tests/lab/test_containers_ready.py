"""Whether a container is ready is asked by its own health check, at once: Docker itself would ask later."""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import Iterator

import pytest

from deploys.facts.containers import ContainersFact, Running

from .docker import docker, wait_until
from .images import base_image

pytestmark = pytest.mark.lab
_LABEL = "com.docker.compose"


@pytest.fixture
def project() -> Iterator[str]:
    name = f"ready-{uuid.uuid4().hex[:8]}"
    try:
        yield name
    finally:
        if ids := docker("ps", "-aq", "--filter", f"label={_LABEL}.project={name}").split():
            docker("rm", "-f", *ids)


def run(project: str, service: str, *options: str, oneoff: str = "False", command: str = "sleep 600") -> None:
    labels = {"project": project, "service": service, "oneoff": oneoff, "depends_on": ""}
    given = [f"--label={_LABEL}.{name}={value}" for name, value in labels.items()]
    # Docker's own first look comes after an hour: what is found healthy was asked here.
    late = ("--health-interval=1h",) if any("health" in option for option in options) else ()
    docker("run", "-d", "--init", *given, *late, *options, base_image("trixie"), "sh", "-c", command)


def look(project: str) -> dict[str, Running]:
    script = ContainersFact().command(project=project)
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return {one.service: one for one in ContainersFact().process(done.stdout.splitlines())}


def health(project: str) -> str:
    return look(project)["one"].health


def test_a_check_that_passes_is_seen_before_docker_looks(project: str) -> None:
    run(project, "one", "--health-cmd=test -e '/tmp/it is ready'")
    assert health(project) == "starting"
    identity = look(project)["one"].id
    docker("exec", identity, "touch", "/tmp/it is ready")
    assert health(project) == "healthy"
    assert docker("inspect", "-f", "{{.State.Health.Status}}", identity) == "starting", "Docker looked itself"


def test_a_check_of_words_is_asked_word_by_word(
    project: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("image")
    words = ["CMD", "test", "-e", "/tmp/two words; touch injected"]
    listed = ", ".join(f'"{word}"' for word in words[1:])
    (folder / "Dockerfile").write_text(
        f"FROM {base_image('trixie')}\nHEALTHCHECK --interval=1h CMD [{listed}]\n"
    )
    tag = f"{project}:test"
    docker("build", "-q", "-t", tag, str(folder))
    try:
        labels = (f"--label={_LABEL}.project={project}", f"--label={_LABEL}.service=one")
        docker("run", "-d", "--init", *labels, f"--label={_LABEL}.oneoff=False", tag, "sleep", "600")
        assert health(project) == "starting"
        identity = look(project)["one"].id
        docker("exec", identity, "touch", words[-1])
        assert health(project) == "healthy"
        assert "injected" not in docker("exec", identity, "ls", "/").splitlines()
    finally:
        docker("rm", "-f", *docker("ps", "-aq", "--filter", f"label={_LABEL}.project={project}").split())
        docker("rmi", tag)


def test_what_ended_and_what_has_no_check_is_told_apart(project: str) -> None:
    run(project, "plain")
    run(project, "done", command="exit 3")
    run(project, "checked", "--health-cmd=true", command="true")
    run(project, "once", oneoff="True")
    wait_until(
        lambda: look(project)["done"].status == look(project)["checked"].status == "exited", "it ended"
    )
    found = look(project)
    assert set(found) == {"plain", "done", "checked"}
    assert (found["plain"].status, found["plain"].health) == ("running", "none")
    assert (found["done"].status, found["done"].code) == ("exited", 3)
    assert not found["checked"].ready, "what does not run is not asked"


def test_a_project_without_containers(project: str) -> None:
    assert look(project) == {}


def test_a_check_that_hangs_is_no_answer(project: str) -> None:
    run(project, "one", "--health-cmd=sleep 300")
    assert health(project) == "starting"
