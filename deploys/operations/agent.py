"""Install the agent: a new version is built beside the running one, and the link is switched when it is
complete.
"""

import io
import shlex
from collections.abc import Generator

from pyinfra.api.command import FileUploadCommand, PyinfraCommand, StringCommand
from pyinfra.api.operation import operation
from pyinfra.context import host

from deploys.facts.agent import CONTENTS, AgentVersions, AgentVersionsFact, ProbeDueFact

from .packages import WAIT_FIRST
from .reasons import because
from .run import own_arguments

PROBE_POWERS = "-all,+dac_read_search"
"""For setpriv(1): what templates/loomio-backup.service.j2 leaves to scheduled backups. A store that takes
more of root's powers is none for them.
"""

# %ROOT%, %VERSION% and %ARCHIVE% hold no characters that a shell would mind. The launcher is written by hand
# because the virtual environment is renamed after it was built: pip's own scripts would name the old place.
_BUILD = (
    CONTENTS
    + r"""
%FIRST%
set -e
umask 022
cd %ROOT%
mkdir -p versions
rm -rf versions/%VERSION%.partial
mkdir versions/%VERSION%.partial
tar -xzf %ARCHIVE% -C versions/%VERSION%.partial --no-same-owner
cd versions/%VERSION%.partial
# The system's pip as it lies in its wheel: to install it first would take as long as half of all the rest.
pip=$(ls /usr/share/python-wheels/pip-*.whl 2>/dev/null | tail -n 1)
if test -n "$pip"; then python3 -m venv --without-pip .; pip=$pip/pip; else python3 -m venv .; pip=-mpip; fi
bin/python $pip install --quiet --no-input --disable-pip-version-check --no-cache-dir --no-deps \
  --only-binary :all: --require-hashes --requirement agent.txt
packages=$(bin/python -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')
mv loomio_backup "$packages"/
bin/python -m compileall -q "$packages/loomio_backup"
cat > bin/loomio-backup <<'LAUNCHER'
#!%ROOT%/versions/%VERSION%/bin/python -I
import sys
from loomio_backup.command.cli import main
sys.exit(main())
LAUNCHER
chmod 0755 bin/loomio-backup
bin/python -I -c 'import loomio_backup.command.cli'
contents . > .contents.new && mv .contents.new .contents
# Power may fail at any moment: the version gets its name when every byte of it is on the disk.
sync -f .
cd %ROOT%
rm -rf versions/%VERSION%
mv versions/%VERSION%.partial versions/%VERSION%
sync -f versions
"""
)

# A build in the background, that an earlier step began, is waited for, and taken if it succeeded.
_BEGUN = r"""
begun() { test "$(systemctl show --property=ActiveState --value %UNIT% 2>/dev/null)" = activating; }
while begun; do sleep 0.5; done
if cd %ROOT% 2>/dev/null && whole versions/%VERSION%; then exit 0; fi
"""
_UNIT = "loomio-agent-build.service"
_LONGEST = 1800
"""Seconds after which a build in the background is given up."""


def _build(root: str, version: str, archive: str, first: str) -> str:
    script = _BUILD.replace("%FIRST%", first).replace("%UNIT%", _UNIT)
    return script.replace("%ROOT%", root).replace("%VERSION%", version).replace("%ARCHIVE%", archive)


@operation()
def agent_build_begun(root: str, version: str, archive: bytes) -> Generator[PyinfraCommand, None, None]:
    """Begin to build a version in the background, while other things go on; `agent_version` waits for it, and
    builds it itself should this have failed.
    """
    if version in host.get_fact(AgentVersionsFact, root=root).installed:
        host.noop(f"the agent {version} is there")
        return
    because("it takes a while, and needs nothing of what comes next")
    arguments = own_arguments(host)
    name = f"agent-{version}-begun"
    uploaded = host.get_temp_filename(name, temp_directory=arguments.get("_temp_dir"))
    yield FileUploadCommand(io.BytesIO(archive), uploaded, _sudo=False)
    script = _build(root, version, uploaded, WAIT_FIRST) + f"rm -f {uploaded}\n"
    yield StringCommand(
        f"mkdir -p {root}; "
        # One that an interrupted run has begun goes on.
        f'test "$(systemctl show --property=ActiveState --value {_UNIT})" = activating || '
        f"systemd-run --quiet --collect --no-block --unit={_UNIT} --property=Type=oneshot "
        # What is installed meanwhile is waited for sooner.
        f"--nice=15 --property=CPUWeight=20 --property=TimeoutStartSec={_LONGEST} "
        f"sh -c {shlex.quote(script)}"
    )


@operation()
def agent_version(root: str, version: str, archive: bytes) -> Generator[PyinfraCommand, None, None]:
    """Make `root`/current point at `version`, built from `archive` (tar.gz: agent.txt and loomio_backup/)."""
    found = host.get_fact(AgentVersionsFact, root=root)
    if found.current == version and version in found.installed:
        host.noop(f"the agent is at {version}")
        return
    because(_difference(found, version))
    if version not in found.installed:
        arguments = own_arguments(host)
        uploaded = host.get_temp_filename(f"agent-{version}", temp_directory=arguments.get("_temp_dir"))
        # Uploaded as the user, read by root: no copy in between.
        yield FileUploadCommand(io.BytesIO(archive), uploaded, _sudo=False)
        yield StringCommand(_build(root, version, uploaded, _BEGUN))
        yield StringCommand(f"rm -f {uploaded}")
    yield StringCommand(
        f"ln -sfn versions/{version} {root}/current.new && mv -fT {root}/current.new {root}/current"
    )


def _difference(found: AgentVersions, version: str) -> str:
    if not found.current:
        return "the agent is not installed"
    if version == found.current or version in found.leftover:
        return f"files of the agent {version} were changed, or are missing"
    return f"the agent is {found.current}; this checkout has {version}"


@operation()
def old_agent_versions_removed(root: str, version: str) -> Generator[StringCommand, None, None]:
    """Remove what earlier installations left, except the version before this one."""
    found = host.get_fact(AgentVersionsFact, root=root)
    others = [name for name in found.installed if name != version]
    superfluous = [*others[1:], *(name for name in found.leftover if name != version)]
    if superfluous:
        because(f"still there: {', '.join(superfluous)}")
        yield StringCommand("rm", "-rf", "--", *(f"{root}/versions/{name}" for name in superfluous))
    else:
        host.noop("no old versions of the agent")


@operation()
def stores_probed(stores: tuple[str, ...]) -> Generator[StringCommand, None, None]:
    """Let the agent really write to each store and read it back, unless nothing of what reaches the store has
    changed since that last worked. Fails with the store's own sentence.
    """
    due = host.get_fact(ProbeDueFact, stores=stores)
    if not due:
        host.noop("every store was tried out as it is")
    for store in due:
        because(f"{store} was not tried out since its settings or credentials changed")
        yield StringCommand(
            "setpriv", "--bounding-set", PROBE_POWERS, "loomio-backup", "probe", "--store", store
        )
