"""What `loomio-pi doctor` looks at on the operator's computer: programs, settings, secrets."""

import os
import shutil
from collections.abc import Iterator

from deploys.console.agent_here import Operator
from deploys.console.doctor_finding import Finding, problem, well
from inventories import secrets_file
from inventories.passphrase import passphrase
from inventories.secrets import check_apart, check_together, checked
from inventories.settings import Settings, display, load_every, one_of, settings_file
from inventories.validation import SettingsError
from inventories.variables import HOST_VARIABLE

#: Programs that commands of ours start here, and what installs them on Debian.
_PROGRAMS = {"ssh": "openssh-client", "git": "git"}


class Here:
    """`operators`: the Pis that can be looked at, once `look` has come to its end."""

    def __init__(self) -> None:
        self.operators: list[Operator] = []

    def look(self) -> Iterator[Finding]:
        """From the first thing that is needed to the last; ends at what everything else depends on."""
        missing = [name for name in _PROGRAMS if shutil.which(name) is None]
        if missing:
            packages = " ".join(_PROGRAMS[name] for name in missing)
            yield problem(f"not installed here: {', '.join(missing)}", f"sudo apt install {packages}")
        else:
            yield well(f"the programs that are needed are there: {', '.join(_PROGRAMS)}")
        settings: dict[str, Settings] = {}
        try:
            settings = load_every(settings_file())
            if os.environ.get(HOST_VARIABLE):
                one = one_of(settings, display(settings_file()))
                settings = {one.name: one}
        except SettingsError as error:
            yield problem(str(error), _new_settings())
            return
        yield well(f"the settings {display(settings_file())} can be read: {', '.join(settings)}")
        yield self._secrets(settings)

    def _secrets(self, settings: dict[str, Settings]) -> Finding:
        path = secrets_file.secrets_file(settings_file())
        shown = display(path)
        try:
            secrets_file.require(path)
            text = secrets_file.decrypted(path, passphrase(shown, path))
            every = {name: checked(text, shown, name) for name in settings}
            for name, secrets in every.items():
                check_together(settings[name], secrets, shown)
            check_apart(every, shown)
        except SettingsError as error:
            return problem(str(error))
        self.operators = [Operator(name, settings[name], every[name]) for name in settings]
        return well(f"the secrets {shown} open, and have all that the settings need")


def _new_settings() -> str:
    return "" if settings_file().exists() else "to be asked for all that is needed: loomio-pi init"
