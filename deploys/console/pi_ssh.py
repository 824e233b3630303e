"""One connection to the Pi by the system's own ssh, for commands that are run there, mostly as root.

The password for sudo goes through standard input and never through an argument.
"""

import contextlib
import shlex
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from typing import IO, Any, TypeVar

from pyinfra.api.facts import FactBase

from inventories.settings import Host
from loomio_backup.errors import StoreAuth, StoreError, StoreNotFound, StoreUnavailable

T = TypeVar("T")
_CONNECTION_LOST = 255  # ssh's own exit status; every other one is the command's


class PiConnection:
    """The Pi called `name`. Use it as a context manager. safe: what to say of what a failure left
    alone. asks: ssh may ask for the passphrase of a key.
    """

    def __init__(
        self,
        name: str,
        host: Host,
        sudo_password: str | None,
        safe: str = "Nothing was changed on the Pi.",
        *,
        asks: bool = True,
    ) -> None:
        self.name, self._password, self._safe = name, sudo_password, safe
        self._private = tempfile.TemporaryDirectory(prefix="loomio-pi-")
        self._options = [f"-p{host.port}", f"-l{host.user}", f"-S{self._private.name}/ssh"]
        options = {
            # One connection; it ends by itself should we be killed.
            "ControlMaster": "auto",
            "ControlPersist": "120",
            "ConnectTimeout": "30",
            "ServerAliveInterval": "15",
            # As pyinfra does, which has logged in before: another key than the known one is refused.
            "StrictHostKeyChecking": "accept-new",
        }
        if not asks:
            options["BatchMode"] = "yes"
        if host.known_hosts:
            options["UserKnownHostsFile"] = f'"{host.known_hosts}"'
        if host.ssh_key:
            self._options.append(f"-i{host.ssh_key}")
        self._options += [f"-o{key}={value}" for key, value in options.items()]
        self._address = host.address

    def __enter__(self) -> "PiConnection":
        return self

    def __exit__(self, *_: object) -> None:
        # Without a connection there is nothing to end, which ssh complains about.
        subprocess.run(["ssh", *self._options, "-Oexit", self._address], capture_output=True, check=False)
        self._private.cleanup()

    @contextlib.contextmanager
    def command(self, what: str, *command: str) -> Iterator[IO[bytes]]:
        """Run a command as root on the Pi, and hand out its output. Raises StoreError when it fails."""
        sudo = ["sudo", "-n"] if self._password is None else ["sudo", "-S", "-p", ""]
        # When sudo needs no password it does not read the line, and neither does what it runs.
        line = "" if self._password is None else f"{self._password}\n"
        with self._run(what, [*sudo, "--", *command], line) as output:
            yield output

    def asked(self, what: str, fact: FactBase[T], *, root: bool = True, **arguments: Any) -> T:
        """What a fact of the deploys says about the Pi. Raises StoreError when it cannot be asked."""
        script = ["sh", "-c", str(fact.command(**arguments))]
        with self.command(what, *script) if root else self._run(what, script, "") as output:
            lines = output.read().decode("utf-8", "replace").splitlines()
        return fact.process(lines) if lines else fact.default()

    @contextlib.contextmanager
    def _run(self, what: str, command: Sequence[str], line: str) -> Iterator[IO[bytes]]:
        remote = shlex.join(["env", "LC_ALL=C", *command])
        # Not a pipe: the connection, which stays open behind the command, would keep it open, too.
        with tempfile.TemporaryFile() as complaints:
            process = subprocess.Popen(
                ["ssh", *self._options, self._address, remote],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=complaints,
            )
            assert process.stdin is not None and process.stdout is not None
            try:
                with contextlib.suppress(BrokenPipeError), process.stdin:
                    process.stdin.write(line.encode())
                with process.stdout:
                    yield process.stdout
                status = process.wait()
            finally:
                if process.poll() is None:
                    process.terminate()
                    process.wait()
            complaints.seek(0)
            if status:
                raise self._sentence(what, status, complaints.read(10_000).decode("utf-8", "replace"))

    def _sentence(self, what: str, status: int, complaints: str) -> StoreError:
        said = [line for line in complaints.splitlines() if line.strip()]
        last = said[-1].strip() if said else f"exit status {status}"
        if status == _CONNECTION_LOST:
            if "Permission denied" in complaints or "verification failed" in complaints:
                return StoreAuth(
                    f"{self.name} ({self._address}) does not let you in: {last}. {self._safe} Is your key "
                    f"(hosts.{self.name}.ssh_key) right? After a new card, forget the old one's key with: "
                    f"ssh-keygen -R {self._address}"
                )
            return StoreUnavailable(
                f"{what} failed, because {self.name} ({self._address}) cannot be reached: {last}. "
                f"{self._safe} Is it switched on? Then run the same again."
            )
        if "sudo:" in complaints:
            return StoreAuth(
                f"{what} failed, because sudo on {self.name} refuses: {last}. {self._safe} Correct hosts."
                f"{self.name}.sudo_password with: loomio-pi secrets edit"
            )
        if "No such file" in complaints:
            return StoreNotFound(f"{what} failed: it is not there ({last}). {self._safe}")
        return StoreError(f"{what} failed: {last}. {self._safe}")
