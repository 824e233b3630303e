"""The state of the clone on the Pi, as its owner sees it."""

import shlex
from dataclasses import dataclass

from pyinfra.api.facts import FactBase

# %REF% is resolved as a tag first: a pinned tag needs no network, and a branch of the same name does not hide
# it.
_SCRIPT = r"""
export LC_ALL=C GIT_TERMINAL_PROMPT=0%SSH%
command -v git >/dev/null || { echo state absent; exit 0; }
test -d %DIR%/.git || {
  test -d %DIR% && test -n "$(ls -A %DIR% | grep -vx '\.env' | head -n 1)" && { echo state foreign; exit 0; }
  echo state absent; exit 0
}
cd %DIR% || exit 1
git -c core.quotePath=off status --porcelain --untracked-files=no | sed 's/^/status /'
head=$(git rev-parse --verify --quiet 'HEAD^{commit}')
echo "head $head"
echo "origin $(git config --get remote.origin.url)"
published=$(test -z "$head" || git for-each-ref --count=1 --contains "$head" refs/tags refs/remotes/origin)
if test -n "$head" && test -z "$published"; then
  echo state unpublished
else
  echo state clone
fi
wanted=$(git rev-parse --verify --quiet %TAG%)
if test -z "$wanted" && echo %REF% | grep -Eqx '[0-9a-f]{40}'; then wanted=%REF%; fi
if test -z "$wanted" && echo %REF% | grep -Eqx '[0-9a-f]{7,39}'; then
  wanted=$(git rev-parse --verify --quiet %COMMIT%)
fi
if test -z "$wanted"; then
  wanted=$(git ls-remote --exit-code %URL% %BRANCH% 2>/dev/null | cut -f 1 | head -n 1)
fi
echo "wanted $wanted"
"""


@dataclass(frozen=True)
class Checkout:
    """`state`: absent (clone it), foreign (other files lie there), clone, unpublished (HEAD is on no remote).

    `head` and `wanted` are commits; "" when there is none, or when the ref cannot be resolved without
    cloning.
    """

    state: str
    head: str = ""
    wanted: str = ""
    origin: str = ""
    edited: tuple[str, ...] = ()
    #: Files that are missing and nothing more: to bring them back loses nobody's work.
    deleted: tuple[str, ...] = ()


class CheckoutFact(FactBase[Checkout]):
    """The Checkout of `directory`, for a tag, branch or commit `ref` of `repository`. Run as the owner, not
    as root. `ssh` is the command that reaches the repository over SSH, if it is to be another than git's own.
    """

    @staticmethod
    def default() -> Checkout:
        return Checkout("absent")

    def command(self, directory: str, repository: str, ref: str, ssh: str = "") -> str:
        over_ssh = f" GIT_SSH_COMMAND={shlex.quote(ssh)}" if ssh else ""
        return (
            _SCRIPT.replace("%SSH%", over_ssh)
            .replace("%DIR%", shlex.quote(directory))
            .replace("%URL%", shlex.quote(repository))
            .replace("%TAG%", shlex.quote(f"refs/tags/{ref}^{{commit}}"))
            .replace("%COMMIT%", shlex.quote(f"{ref}^{{commit}}"))
            .replace("%BRANCH%", shlex.quote(f"refs/heads/{ref}"))
            .replace("%REF%", shlex.quote(ref))
        )

    def process(self, output: list[str]) -> Checkout:
        found: dict[str, str] = {}
        edited: list[str] = []
        deleted: list[str] = []
        for line in output:
            key, _, value = line.partition(" ")
            if key == "status":
                # Two letters (index, working tree), a space, the name.
                (deleted if value.startswith(" D") else edited).append(value[3:])
            else:
                found[key] = value.strip()
        return Checkout(
            found["state"],
            found.get("head", ""),
            found.get("wanted", ""),
            found.get("origin", ""),
            tuple(edited),
            tuple(deleted),
        )
