"""How the SSH server is set up, as it says itself."""

from dataclasses import dataclass

from pyinfra.api.facts import FactBase


@dataclass(frozen=True)
class SshServer:
    """`ports` that it listens on. `passwords`: somebody could log in with one."""

    ports: tuple[int, ...]
    passwords: bool


class SshServerFact(FactBase[SshServer]):
    """The SshServer. Needs root."""

    @staticmethod
    def default() -> SshServer:
        return SshServer((22,), True)

    def command(self) -> str:
        # -T prints what is in force, whichever file it comes from.
        return "mkdir -p /run/sshd; PATH=$PATH:/usr/sbin sshd -T 2>/dev/null || true"

    def process(self, output: list[str]) -> SshServer:
        words = [line.split() for line in output]
        ports = tuple(sorted({int(line[1]) for line in words if line[:1] == ["port"]}))
        passwords = [
            line for line in words if line[0] in ("passwordauthentication", "kbdinteractiveauthentication")
        ]
        return SshServer(ports or (22,), not passwords or any(line[1] != "no" for line in passwords))
