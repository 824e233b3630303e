"""The Pi's own firewall, in a way that cannot lock the operator out."""

import shlex
from collections.abc import Generator

from pyinfra.api.command import PyinfraCommand, StringCommand
from pyinfra.api.host import Host
from pyinfra.api.operation import operation
from pyinfra.api.state import State
from pyinfra.context import host
from pyinfra.facts.files import FileContents

from deploys.facts.firewall import FirewallFact
from deploys.facts.ssh import SshServerFact

from .callback import Callback
from .reasons import because
from .run import own_arguments
from .second_login import arm, confirmed

RULES = "/etc/loomio-pi/firewall.nft"
SERVICE = "loomio-pi-firewall.service"
UNIT = f"/etc/systemd/system/{SERVICE}"
#: Which ports those are, only the Pi knows: from outside, SSH may be reached by another one.
SSH_PORTS = "@SSH_PORTS@"
_TIMER = "loomio-pi-undo-firewall"
_NFT = "/usr/sbin/nft"
#: Back to the rules of the last time, or to none.
_UNDO = (
    f"if test -e {RULES}; then {_NFT} -f {RULES}; else {_NFT} delete table inet loomio_pi; fi; "
    f"rm -f {RULES}.new"
)


@operation()
def firewall(rules: str, unit: str) -> Generator[PyinfraCommand, None, None]:
    """Put the rules in force, now and at every start. `rules`: their text, in which SSH_PORTS stands for the
    ports that the SSH server listens on; `unit`: the text of the unit that loads them.
    """
    ports = host.get_fact(SshServerFact).ports
    wanted = rules.replace(SSH_PORTS, ", ".join(str(port) for port in ports))
    loaded, enabled = host.get_fact(FirewallFact)
    same = {path: _text(path) == content for path, content in ((RULES, wanted), (UNIT, unit))}
    if loaded and enabled and all(same.values()):
        host.noop("the firewall is in force")
        return
    for path in (path for path, as_declared in same.items() if not as_declared):
        because(f"{path} is missing or not as declared")
    if not (loaded and enabled):
        because(f"the firewall is {'not switched on for the next start' if loaded else 'not in force'}")
    fresh = f"{RULES}.new"
    yield StringCommand(
        f"mkdir -p {RULES.rpartition('/')[0]} && printf %s {shlex.quote(wanted)} > {fresh} && "
        f"{_NFT} --check -f {fresh} && {arm(_TIMER, _UNDO)} && {_NFT} -f {fresh}"
    )
    arguments = own_arguments(host)

    def keep(state: State, host: Host) -> bool:
        return confirmed(host, _TIMER, _UNDO, "The firewall", **arguments)

    yield Callback(keep)
    yield StringCommand(
        f"chmod 0644 {fresh} && mv -f {fresh} {RULES} && printf %s {shlex.quote(unit)} > {UNIT}.new && "
        f"mv -f {UNIT}.new {UNIT} && systemctl daemon-reload && systemctl enable --quiet {SERVICE} && "
        f"systemctl restart {SERVICE}"
    )


@operation()
def no_firewall() -> Generator[StringCommand, None, None]:
    """Take our firewall away; another one stays as it is."""
    if _text(UNIT) is None and _text(RULES) is None:
        host.noop("there is no firewall of ours")
        return
    because("the firewall is there, and no longer declared")
    yield StringCommand(
        f"systemctl disable --quiet --now {SERVICE} 2> /dev/null; {_NFT} delete table inet loomio_pi "
        f"2> /dev/null; rm -f {UNIT} {RULES} && systemctl daemon-reload"
    )


def _text(path: str) -> str | None:
    lines = host.get_fact(FileContents, path=path)
    return None if lines is None else "".join(f"{line}\n" for line in lines)
