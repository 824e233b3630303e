"""Where others look at the backups: a file for Prometheus' node exporter, alarms for Netdata."""

import io

from pyinfra.api.deploy import deploy
from pyinfra.operations import files
from pyinfra.operations.util import any_changed

from deploys.operations.compose import restarted_if_there
from deploys.operations.systemd import restarted_if_running
from deploys.steps.agent_config import metrics_file, wants_netdata
from deploys.steps.paths import METRICS_FILE, NETDATA
from deploys.steps.preflight import Target

NETDATA_SETTINGS = "/etc/netdata"
#: Place on the Pi to (our file, mode); the third one says where the figures are.
NETDATA_FILES = {
    f"{NETDATA_SETTINGS}/custom-plugins.d/loomio_backup.plugin": ("loomio_backup.plugin", "0755"),
    f"{NETDATA_SETTINGS}/health.d/loomio_backup.conf": ("loomio_backup.conf", "0644"),
}
NETDATA_PATH = f"{NETDATA_SETTINGS}/loomio_backup.path"


@deploy("Monitoring")
def place(target: Target) -> None:
    """Make the directory for the figures, and give Netdata what it needs, or take it away."""
    settings = target.settings
    if file := metrics_file(settings):
        directory = file.rpartition("/")[0]
        # One that the settings name belongs to somebody else's package, and stays as it is.
        files.directory(
            name=f"Create {directory}", path=directory, mode="0755" if file == METRICS_FILE else None
        )
    if not wants_netdata(settings):
        for path in (*NETDATA_FILES, NETDATA_PATH):
            files.file(name=f"Remove {path}", path=path, present=False)
        return
    placed = [
        files.put(
            name=f"Write {path}", src=str(NETDATA / name), dest=path, mode=mode, user="root", group="root"
        )
        for path, (name, mode) in NETDATA_FILES.items()
    ]
    placed.append(
        files.put(
            name=f"Write {NETDATA_PATH}",
            src=io.StringIO(f"{metrics_file(settings)}\n"),
            dest=NETDATA_PATH,
            mode="0644",
            user="root",
            group="root",
        )
    )
    restarted_if_running(name="Let Netdata read it", unit="netdata.service", _if=any_changed(*placed))
    if settings.stack.parts.netdata:
        restarted_if_there(
            name="Let Netdata in its container read it",
            project=settings.stack.layout.project,
            service="netdata",
            _if=any_changed(*placed),
        )
