"""What others look at: figures for Prometheus, files for Netdata, and nothing where nobody asked."""

from pathlib import Path

import pytest

from .scripted import ConvergedPi, ScriptedPi

NETDATA = [
    "Monitoring | Create /var/lib/loomio-pi-stack/metrics",
    "Monitoring | Write /etc/netdata/custom-plugins.d/loomio_backup.plugin",
    "Monitoring | Write /etc/netdata/health.d/loomio_backup.conf",
    "Monitoring | Write /etc/netdata/loomio_backup.path",
]


def planned(folder: Path, **monitoring: object) -> list[str]:
    done = ScriptedPi(folder, settings={"monitoring": monitoring}).deploy("setup")
    assert done.code == 0, done.output
    return [name for name in done.planned if name.startswith("Monitoring")]


def test_nothing_where_nobody_asked(tmp_path: Path) -> None:
    assert planned(tmp_path) == []


def test_a_file_for_prometheus(tmp_path: Path) -> None:
    file = "/var/lib/prometheus/node-exporter/loomio-backup.prom"
    assert planned(tmp_path, prometheus_file=file) == [
        "Monitoring | Create /var/lib/prometheus/node-exporter"
    ]


def test_netdata_gets_figures_and_alarms_before_the_watch_runs(tmp_path: Path) -> None:
    done = ScriptedPi(tmp_path, settings={"monitoring": {"netdata": True}}).deploy("setup")
    assert [name for name in done.planned if name in NETDATA] == NETDATA
    assert done.planned.index(NETDATA[-1]) < done.planned.index(
        "Schedule | Write loomio-backup-watch.service"
    )


@pytest.mark.parametrize("deploy", ["setup", "disaster_recovery"])
def test_every_deploy_that_makes_a_pi_places_them(tmp_path: Path, deploy: str) -> None:
    done = ScriptedPi(tmp_path, settings={"monitoring": {"netdata": True}}).deploy(deploy)
    assert set(NETDATA) <= set(done.planned)


def test_what_is_turned_off_goes(tmp_path: Path) -> None:
    done = ConvergedPi(tmp_path).deploy("setup")
    assert "Monitoring | Remove /etc/netdata/health.d/loomio_backup.conf" in done.operations
    assert done.planned == []


def test_a_second_setup_changes_nothing(tmp_path: Path) -> None:
    done = ConvergedPi(tmp_path, settings={"monitoring": {"netdata": True}}).deploy("setup")
    assert done.code == 0, done.output
    assert done.planned == []
    assert set(NETDATA) <= set(done.operations)
