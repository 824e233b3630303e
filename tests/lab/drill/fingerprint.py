"""What must not change when setup runs again: containers, and every file that setup manages."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from ..pi import Pi

#: Folders and files that belong to setup; what the agent writes as it works is not among them.
MANAGED = (
    "/etc/docker /etc/apt/keyrings /etc/apt/sources.list.d /etc/loomio-backup /etc/loomio-pi-stack "
    "/etc/netdata /etc/systemd/system /opt/loomio-backup /opt/loomio-pi-stack /usr/local/bin "
    "/var/lib/loomio-pi-stack"
).split()
WALK = """
import hashlib, json, os, sys
found = {}
for root in sys.argv[1:]:
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if name not in ("__pycache__", "site-packages", ".git")]
        # A link to a directory is a thing of its own, and not walked into.
        for name in files + [name for name in folders if os.path.islink(os.path.join(folder, name))]:
            path = os.path.join(folder, name)
            state = os.lstat(path)
            link = os.path.islink(path)
            content = os.readlink(path) if link else hashlib.sha256(open(path, "rb").read()).hexdigest()
            found[path] = [content, state.st_mtime_ns, state.st_mode, state.st_uid, state.st_gid]
print(json.dumps(found))
"""


@dataclass(frozen=True)
class Fingerprint:
    """Containers (id, start time) by name; files (hash, mtime, mode, owner) by path."""

    containers: Mapping[str, str]
    files: Mapping[str, tuple[str, int, int, int, int]]

    @classmethod
    def of(cls, pi: Pi) -> Fingerprint:
        ids = pi.run("docker", "ps", "-aq").split()
        lines = pi.run("docker", "inspect", "--format", "{{.Name}} {{.Id}} {{.State.StartedAt}}", *ids)
        files = json.loads(pi.run("python3", "-", *MANAGED, input=WALK.encode()))
        return cls(
            containers=dict(line.split(" ", 1) for line in lines.splitlines()),
            files={path: tuple(facts) for path, facts in files.items()},
        )

    def differences(self, later: Fingerprint) -> list[str]:
        """One sentence for each container or file that is not the same in `later`."""
        said = []
        for kind, before, after in (
            ("container", self.containers, later.containers),
            ("file", self.files, later.files),
        ):
            for name in sorted(before.keys() | after.keys()):
                if before.get(name) != after.get(name):
                    how = "appeared" if name not in before else "vanished" if name not in after else "changed"
                    said.append(f"{kind} {name} {how}")
        return said
