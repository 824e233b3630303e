"""What the other parts need from the system: git for the stack, a Python with venv for the agent."""

from pyinfra.api.deploy import deploy

from deploys.operations.packages import packages

NEEDED = ("ca-certificates", "git", "python3", "python3-venv")


@deploy("System")
def prepare() -> None:
    """Install the few Debian packages that everything else builds on."""
    packages(name="Install git, Python and certificates", names=NEEDED)
