"""Install the agent: a new version is built beside the running one, and the link is switched when it is
complete.
"""

import io
from collections.abc import Generator

from pyinfra.api.command import FileUploadCommand, PyinfraCommand, StringCommand
from pyinfra.api.operation import operation
from pyinfra.context import host

from deploys.facts.agent import CONTENTS, AgentVersions, AgentVersionsFact, ProbeDueFact

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
set -e
umask 022
cd %ROOT%
mkdir -p versions
rm -rf versions/%VERSION%.partial
mkdir versions/%VERSION%.partial
tar -xzf %ARCHIVE% -C versions/%VERSION%.partial --no-same-owner
cd versions/%VERSION%.partial
python3 -m venv .
bin/python -m pip install --quiet --no-input --disable-pip-version-check --no-cache-dir --no-deps \
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
        yield StringCommand(
            _BUILD.replace("%ROOT%", root).replace("%VERSION%", version).replace("%ARCHIVE%", uploaded)
        )
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
