"""Whether the kernel enforces limits of memory, and what decides it."""

from dataclasses import dataclass

from pyinfra.api.facts import FactBase

# Raspberry Pi's firmware puts cgroup_disable=memory before the line of cmdline.txt, so the file alone says
# nothing. The one below /boot is a stub where there is one below /boot/firmware.
_SCRIPT = r"""
for file in /boot/firmware/cmdline.txt /boot/cmdline.txt; do
  if test -f "$file"; then echo "file=$file"; echo "line=$(head -n 1 "$file")"; break; fi
done
echo "running=$(cat /proc/cmdline)"
if test -e /sys/fs/cgroup/cgroup.controllers; then
  ! grep -qw memory /sys/fs/cgroup/cgroup.controllers || echo enforced=yes
else
  ! awk '$1 == "memory" && $4 == 1' /proc/cgroups | grep -q . || echo enforced=yes
fi
"""


@dataclass(frozen=True)
class Memory:
    """`file`: cmdline.txt, "" where there is none; `line`: its first line. `running`: what the kernel was
    started with. `enforced`: limits of memory count.
    """

    file: str
    line: str
    running: str
    enforced: bool


class MemoryFact(FactBase[Memory | None]):
    """The Memory; None where the host does not say."""

    def command(self) -> str:
        return _SCRIPT

    def process(self, output: list[str]) -> Memory | None:
        found = dict(line.split("=", 1) for line in output if "=" in line)
        if "running" not in found:
            return None
        return Memory(
            found.get("file", ""),
            found.get("line", ""),
            found["running"],
            found.get("enforced") == "yes",
        )
