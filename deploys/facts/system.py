"""What we ask of the system itself: has it finished its first start, what it is called, what time it has."""

from dataclasses import dataclass

from pyinfra.api.facts import FactBase

# Each line is `key=value`; a value that cannot be had stays empty.
_SCRIPT = r"""
export LC_ALL=C
# Its file is quicker than the program, which takes a Pi a second and more.
if grep -qs '"errors": \[\]' /run/cloud-init/result.json; then
  echo cloud_init=done
else
  echo "cloud_init=$(cloud-init status 2>/dev/null | sed -n 's/^status: //p')"
fi
if test -e /run/systemd/timesync/synchronized \
  || test "$(timedatectl show --property=NTPSynchronized --value 2>/dev/null)" = yes; then
  echo clock=right
fi
echo "now=$(date -u +%s)"
echo "timezone=$(readlink /etc/localtime 2>/dev/null | sed -n 's|^.*/zoneinfo/||p')"
echo "hostname=$(cat /etc/hostname 2>/dev/null)"
echo "locale=$(cat /etc/locale.conf /etc/default/locale 2>/dev/null | sed -n 's/^LANG="*\([^"]*\).*/\1/p' \
  | tail -n 1)"
"""


@dataclass(frozen=True)
class System:
    """`cloud_init`: its own word (running, done, error …), "" without it. `clock_right`: the network has set
    the clock since the start. `now`: the Pi's own time, in seconds since 1970. `timezone`, `hostname`,
    `locale`: as they are configured.
    """

    cloud_init: str
    clock_right: bool
    now: int
    timezone: str
    hostname: str
    locale: str

    @property
    def starting(self) -> bool:
        """cloud-init still works on the system."""
        return self.cloud_init in ("running", "not started", "not run")


class SystemFact(FactBase[System]):
    """The System."""

    @staticmethod
    def default() -> System:
        return System("", False, 0, "", "", "")

    def command(self) -> str:
        return _SCRIPT

    def process(self, output: list[str]) -> System:
        found = dict(line.split("=", 1) for line in output if "=" in line)
        return System(
            cloud_init=found.get("cloud_init", ""),
            clock_right=found.get("clock") == "right",
            now=int(found.get("now") or 0),
            timezone=found.get("timezone", ""),
            hostname=found.get("hostname", ""),
            locale=found.get("locale", ""),
        )
