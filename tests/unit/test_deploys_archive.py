"""The agent's archive: the same files give the same version, any change gives another."""

import io
import shutil
import tarfile
from pathlib import Path

from deploys.steps import agent_archive
from deploys.steps.paths import AGENT_PACKAGE, AGENT_REQUIREMENTS


def copied(tmp_path: Path) -> tuple[Path, Path]:
    package = tmp_path / "loomio_backup"
    shutil.copytree(AGENT_PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    requirements = tmp_path / "agent.txt"
    shutil.copy(AGENT_REQUIREMENTS, requirements)
    return package, requirements


def test_holds_the_package_and_its_lock_and_nothing_else(tmp_path: Path) -> None:
    package, requirements = copied(tmp_path)
    (package / "__pycache__").mkdir()
    (package / "__pycache__" / "cli.cpython-311.pyc").write_bytes(b"\0")
    archive = agent_archive.build(package, requirements)
    with tarfile.open(fileobj=io.BytesIO(archive.content)) as tar:
        names = tar.getnames()
    assert "agent.txt" in names
    assert "loomio_backup/command/cli.py" in names
    assert "loomio_backup/stores/drive.py" in names
    others = [name for name in names if not name.endswith(".py")]
    assert sorted(others) == ["agent.txt", "loomio_backup/report/report.html.j2"]


def test_the_same_files_give_the_same_archive(tmp_path: Path) -> None:
    first = agent_archive.build(*copied(tmp_path / "a"))
    second = agent_archive.build(*copied(tmp_path / "b"))
    assert first == second
    assert len(first.version) == 12


def test_any_change_gives_another_version(tmp_path: Path) -> None:
    package, requirements = copied(tmp_path)
    versions = {agent_archive.build(package, requirements).version}
    (package / "clock.py").write_bytes((package / "clock.py").read_bytes() + b"# more\n")
    versions.add(agent_archive.build(package, requirements).version)
    (package / "new.py").write_text("")
    versions.add(agent_archive.build(package, requirements).version)
    requirements.write_bytes(requirements.read_bytes() + b"# more\n")
    versions.add(agent_archive.build(package, requirements).version)
    assert len(versions) == 4
