"""The clone of the stack's repository, pinned, without ever throwing away what somebody did in it."""

import re
import shlex
from collections.abc import Generator

from pyinfra.api.command import StringCommand
from pyinfra.api.exceptions import OperationError
from pyinfra.api.operation import operation
from pyinfra.context import host

from deploys.facts.git import Checkout, CheckoutFact

from .reasons import because

_GIT = "GIT_TERMINAL_PROMPT=0 git -c advice.detachedHead=false"


@operation()
def git_checkout(
    directory: str, repository: str, ref: str, ssh: str = ""
) -> Generator[StringCommand, None, None]:
    """Make `directory` (which exists) a clone of `repository` at the tag, branch or commit `ref`.

    Run as the owner of the directory. `ssh` is the command that reaches the repository over SSH, if it is to
    be another than git's own. Raises OperationError, and touches nothing, where there is an
    `objection`.
    """
    checkout = host.get_fact(CheckoutFact, directory=directory, repository=repository, ref=ref, ssh=ssh)
    problem = objection(checkout, directory, repository)
    if problem:
        raise OperationError(f"{host.name}: {problem}")
    if _pinned(checkout, repository):
        if checkout.deleted:
            because(f"missing from {directory}: {_listed(checkout.deleted)}")
            files = " ".join(shlex.quote(name) for name in checkout.deleted)
            yield StringCommand(f"cd {shlex.quote(directory)} && git checkout --quiet HEAD -- {files}")
        else:
            host.noop(f"{directory} is at {ref} ({checkout.head[:12]})")
        return
    because(_difference(checkout, directory, repository, ref))
    yield StringCommand(_script(directory, repository, ref, ssh))


def objection(checkout: Checkout, directory: str, repository: str) -> str | None:
    """Why the clone must not be touched: somebody's work would be lost. None where it may."""
    if checkout.state == "foreign":
        return (
            f"{directory} holds files, and is no git clone. Nothing was changed there. Move them away on "
            f"the Pi (sudo mv {directory} {directory}.old) and run this again."
        )
    if checkout.edited:
        return (
            f"files of {directory} were changed by hand: {_listed(checkout.edited)}. Nothing was changed "
            "there. Keep the "
            f"changes (on the Pi: cd {directory} && git stash) or undo them (git checkout -- .), and run "
            "this again."
        )
    if checkout.state == "unpublished" and checkout.head and not _pinned(checkout, repository):
        return (
            f"{directory} is at commit {checkout.head[:12]}, which is on no branch or tag of "
            f"{checkout.origin}. Nothing was "
            f"changed there. Push it, or keep it aside (on the Pi: cd {directory} && "
            f"git tag kept-{checkout.head[:12]}), and run this again."
        )
    return None


def _pinned(checkout: Checkout, repository: str) -> bool:
    return bool(checkout.head) and checkout.head == checkout.wanted and checkout.origin == repository


def _difference(checkout: Checkout, directory: str, repository: str, ref: str) -> str:
    if not checkout.head:
        return f"{directory} is no clone yet"
    if checkout.origin != repository:
        # An address may hold a token, also one that somebody put there by hand.
        return f"{directory} is a clone of {_public(checkout.origin)}, not of {_public(repository)}"
    wanted = checkout.wanted[:12] or "not there, or cannot be reached"
    return f"{directory} is at {checkout.head[:12]}; {ref} is {wanted}"


def _public(address: str) -> str:
    return re.sub(r"//[^/@]*@", "//", address) or "nothing"


def _script(directory: str, repository: str, ref: str, ssh: str) -> str:
    url = shlex.quote(repository)
    unknown = f"{ref} is no tag, branch or commit of {repository}: correct stack.ref in the settings."
    # A tag first: a pinned tag wins over a branch of the same name. Can be run again after any interruption.
    candidates = " ".join(
        shlex.quote(candidate) for candidate in (f"refs/tags/{ref}", f"refs/remotes/origin/{ref}", ref)
    )
    return (
        f"cd {shlex.quote(directory)} && git init --quiet && "
        f"(git config remote.origin.url {url} || git remote add origin {url}) && "
        # In the clone, so that people who fetch there by hand need not know: for this repository alone.
        f"{_ssh_setting(ssh)} && "
        f"git config remote.origin.fetch '+refs/heads/*:refs/remotes/origin/*' && "
        f"{_GIT} fetch --quiet --tags origin && "
        f"for candidate in {candidates}; do "
        f'commit=$(git rev-parse --verify --quiet "$candidate^{{commit}}") && break; done; '
        'if test -z "$commit"; then '
        f"echo {shlex.quote(unknown)} >&2; exit 1; fi; "
        f'{_GIT} checkout --quiet --detach "$commit"'
    )


def _ssh_setting(ssh: str) -> str:
    if ssh:
        return f"git config core.sshCommand {shlex.quote(ssh)}"
    return "{ git config --unset-all core.sshCommand || true; }"


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
