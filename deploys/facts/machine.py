"""What kind of machine answers: asked once, without sudo, before anything is decided."""

from dataclasses import dataclass

from pyinfra.api.facts import FactBase

# One round trip for everything. Each line is `key=value`; a value that cannot be had stays empty.
_SCRIPT = r"""
export LC_ALL=C
echo "uid=$(id -u)"
echo "user=$(id -un)"
echo "group=$(id -gn)"
echo "home=$HOME"
echo "runtime=$(d=${XDG_RUNTIME_DIR:-/run/user/$(id -u)}; test -d "$d" && test -O "$d" && echo "$d")"
echo "architecture=$(dpkg --print-architecture 2>/dev/null)"
echo "os=$(. /etc/os-release 2>/dev/null && echo "$ID")"
echo "codename=$(. /etc/os-release 2>/dev/null && echo "$VERSION_CODENAME")"
echo "pretty=$(. /etc/os-release 2>/dev/null && echo "$PRETTY_NAME")"
echo "init=$(cat /proc/1/comm 2>/dev/null)"
echo "memory_kib=$(sed -n 's/^MemTotal: *\([0-9]*\) kB/\1/p' /proc/meminfo)"
echo "disk_kib=$(df -Pk /var/lib 2>/dev/null | sed 1d | awk '{print $4}')"
echo "sudo=$(command -v sudo >/dev/null || echo absent; sudo -n -k true >/dev/null 2>&1 && echo free)"
echo "docker_packages=$(dpkg-query -W -f '${Package} ${db:Status-Status},' \
  docker.io docker-cli docker-compose docker-ce docker-ce-cli containerd.io docker-compose-plugin \
  2>/dev/null)"
"""


@dataclass(frozen=True)
class Machine:
    """The answers. `runtime` is the user's private runtime directory, "" where there is none."""

    uid: int
    user: str
    group: str
    home: str
    runtime: str
    architecture: str
    os: str
    codename: str
    pretty: str
    init: str
    memory_mib: int
    disk_free_mib: int
    sudo: str
    docker_packages: frozenset[str]


class MachineFact(FactBase[Machine | None]):
    """The Machine; None when the answers make no sense (not a Linux with a shell)."""

    def command(self) -> str:
        return _SCRIPT

    def process(self, output: list[str]) -> Machine | None:
        found = dict(line.split("=", 1) for line in output if "=" in line)
        if not found.get("uid", "").isdecimal():
            return None
        return Machine(
            uid=int(found["uid"]),
            user=found["user"],
            group=found["group"],
            home=found["home"],
            runtime=found["runtime"],
            architecture=found["architecture"],
            os=found["os"],
            codename=found["codename"],
            pretty=found["pretty"],
            init=found["init"],
            memory_mib=int(found["memory_kib"] or 0) // 1024,
            disk_free_mib=int(found["disk_kib"] or 0) // 1024,
            sudo=found["sudo"],
            docker_packages=frozenset(
                entry.removesuffix(" installed")
                for entry in found["docker_packages"].split(",")
                if entry.endswith(" installed")
            ),
        )


class ClockFact(FactBase[int]):
    """The machine's own time, in seconds since 1970."""

    @staticmethod
    def default() -> int:
        return 0

    def command(self) -> str:
        return "date -u +%s"

    def process(self, output: list[str]) -> int:
        return int(output[-1])
