"""disaster_recovery.py against scripted Pis: the order of things, and when it refuses."""

import json
from pathlib import Path

import pytest
import yaml

from deploys.steps import agent_archive, schedule
from inventories.new_secrets import new_text
from tests.unit.pull_bench import PiBackups

from .scripted import Answer, ConvergedPi, Finished, ScriptedPi, stat_line, unit_lines

RESTORE = "Recovery | Restore the newest backup from the local store"
#: A Pi on which everything but the last step of a recovery was done.
RESULT = json.dumps({"backup": "loomio_backup_20261123_020000", "phases": {}})


def test_the_app_is_not_started_before_its_data_is_back_and_the_timers_come_last(tmp_path: Path) -> None:
    done = ScriptedPi(tmp_path).deploy("disaster_recovery")
    assert done.code == 0, done.output
    version = agent_archive.build().version
    order = [
        # What takes long and needs nothing of what comes next goes on meanwhile.
        "Docker | Begin to install Docker, and to fetch PostgreSQL and Redis",
        f"Agent | Begin to build the agent {version}",
        "Agent | Write the agent's configuration",
        "Schedule | Bring the units",
        "Schedule | Write loomio-restore.service",
        "Schedule | Enable loomio-restore-settle.path",
        "System | Install the packages of the system",
        "Docker | Install Docker's packages",
        "Stack | Begin to fetch PostgreSQL and Redis",
        "Stack | Write the stack's .env",
        f"Agent | Install the agent {version}",
        "Recovery | Take the version that made the backup",
        "Recovery | Fetch the app's image as the backup knows it",
        "Recovery | Compare PostgreSQL's version with the backup's",
        "Stack | Start db, redis",
        RESTORE,
        "Recovery | Keep to the version that made the backup",
        "Stack | Start every service",
        "Recovery | Verify what was recovered",
        "Schedule | Enable the timers but for that of the backups",
        "Schedule | Enable loomio-backup.timer",
        "Recovery | Read the agent's report",
        "Agent | Try out the stores: local",
    ]
    assert [name for name in done.planned if name in order] == order
    decided, fetched, started = (
        done.planned.index(name)
        for name in (
            "Recovery | Take the version that made the backup",
            "Stack | Fetch the images",
            "Stack | Start db, redis",
        )
    )
    assert decided < fetched < started


def test_the_store_is_named(tmp_path: Path) -> None:
    credentials = {"type": "authorized_user", "client_id": "i", "client_secret": "s", "refresh_token": "t"}
    pi = ScriptedPi(
        tmp_path, settings={"backup": {"drive": {}}}, secrets={"drive": {"credentials": credentials}}
    )
    assert "Recovery | Restore the newest backup from Google Drive" in pi.deploy("disaster_recovery").planned


def test_live_data_is_refused_with_the_word_to_say(tmp_path: Path) -> None:
    done = ConvergedPi(tmp_path).deploy("disaster_recovery")
    assert done.code == 1
    assert done.operations == []
    assert "This Pi holds data (44 tables of its database have rows)" in done.output
    assert "To replace its data with what is in the backup, say so" in done.output
    assert "--data replace_live_data=yes" in done.output
    assert "Nothing is left" not in done.output


def test_a_database_that_cannot_be_asked_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    down: Answer = (r"docker volume inspect", "unread the database does not run")
    done = ConvergedPi(tmp_path, answers=[down]).deploy("disaster_recovery")
    assert (done.code, done.operations) == (1, []), done.output
    assert "cannot be told (the database does not run). Nothing was changed." in done.output.replace(
        "\n", " "
    )
    assert "sudo docker compose up -d --wait db" in done.output


def test_a_database_whose_first_start_was_cut_off_is_no_obstacle(tmp_path: Path) -> None:
    path = "/var/lib/loomio-pi-stack/database-begun"
    answers: list[Answer] = [
        (r"docker volume inspect", "unread the database does not run"),
        (r"stat -c .*database-begun", stat_line(path, "-rw-r--r--")),
    ]
    done = ConvergedPi(tmp_path, answers=answers).deploy("disaster_recovery")
    assert done.code == 0, done.output
    assert RESTORE in done.planned


def test_live_data_is_replaced_when_told_to(tmp_path: Path) -> None:
    pi = ConvergedPi(tmp_path)
    done = pi.deploy("disaster_recovery", "--dry", "--json", "--data", "replace_live_data=yes")
    assert done.code == 0, done.output
    assert RESTORE in done.planned


def test_while_live_data_is_replaced_the_timer_is_off(tmp_path: Path) -> None:
    """On a Pi that lives it was on: what came back would be backed up before anybody has verified it."""
    off = r"systemctl --quiet disable --now loomio-backup\.timer && [^|]*--replace-live-data"
    answers: list[Answer] = [
        (off, "It has ended: exit-code"),
        (r"systemctl start --no-block", "It has ended: with the timer on"),
        (r"loomio-backup candidate", {"success": False, "stderr": "as far as this test goes"}),
    ]
    done = ConvergedPi(tmp_path, answers=answers).deploy(
        *("disaster_recovery", "-y", "--data", "replace_live_data=yes"), module="deploys.console.runner"
    )
    assert done.code == 1
    assert "A restore failed (exit-code)" in done.output
    assert "sudo systemctl enable --now loomio-backup.timer" in done.output


def test_a_word_that_is_not_understood_is_no_yes(tmp_path: Path) -> None:
    done = ConvergedPi(tmp_path).deploy(
        "disaster_recovery", "--dry", "--json", "--data", "replace_live_data=maybe"
    )
    assert done.code == 1
    assert "replace_live_data='maybe' is not understood" in done.output


@pytest.mark.parametrize(
    "answers",
    [
        [(r"systemctl show --property=Id", unit_lines(enabled="disabled", restore="activating"))],
        [
            (r"restore-journal", "journal switching"),
            (r"systemctl show --property=Id", unit_lines(enabled="disabled", timer="inactive")),
        ],
    ],
    ids=["running", "interrupted"],
)
def test_an_unfinished_restore_is_taken_up(tmp_path: Path, answers: list[Answer]) -> None:
    done = ConvergedPi(tmp_path, answers=answers).deploy("disaster_recovery")
    assert done.code == 0, done.output
    assert RESTORE in done.planned


def test_a_finished_restore_is_not_repeated_when_the_rest_is_still_to_be_done(tmp_path: Path) -> None:
    answers: list[Answer] = [
        (r"restore-journal", ["journal done", RESULT]),
        (r"systemctl show --property=Id", unit_lines(enabled="disabled", timer="inactive")),
    ]
    done = ConvergedPi(tmp_path, answers=answers).deploy("disaster_recovery")
    assert done.code == 0, done.output
    assert RESTORE not in done.operations
    # Which backup it is was decided then, too.
    assert "Recovery | Take the version that made the backup" not in done.operations
    assert "Schedule | Enable loomio-backup.timer" in done.planned


def _verified(folder: Path, *, lacking: list[dict[str, str]]) -> Finished:
    """The rest of a recovery from a backup that lacks something or not, in a store where a manifest is and
    stays damaged.
    """
    backup = json.loads(RESULT)["backup"]
    said = {"ok": False, "complete": False, "problems": ["the manifest of another cannot be used"]}
    whole = {"backup": backup, "stores": ["local"], "passed_over": lacking, "stale": None}
    answers: list[Answer] = [
        (r"restore-journal", ["journal done", RESULT]),
        (r"systemctl show --property=Id", unit_lines(enabled="disabled", timer="inactive")),
        (r"loomio-backup check", json.dumps(said)),
        (rf"loomio-backup candidate .*--backup {backup}", json.dumps(whole)),
    ]
    return ConvergedPi(folder, answers=answers).deploy(
        "disaster_recovery", "-y", module="deploys.console.runner"
    )


def test_what_is_wrong_with_other_backups_does_not_keep_a_recovery_from_its_end(tmp_path: Path) -> None:
    done = _verified(tmp_path, lacking=[])
    assert done.code == 0, done.output
    assert "the manifest of another cannot be used" in done.output
    assert "loomio is back, from loomio_backup_20261123_020000" in done.output


def test_one_that_came_back_and_lacks_something_now_keeps_the_timers_off(tmp_path: Path) -> None:
    lacking = [{"backup": "loomio_backup_20261123_020000", "reason": "its dump is missing"}]
    done = _verified(tmp_path, lacking=lacking)
    assert done.code == 1
    assert "Scheduled backups are still off" in done.output
    assert "is back, from" not in done.output


def test_after_a_whole_recovery_the_data_is_live_data_again(tmp_path: Path) -> None:
    answers: list[Answer] = [(r"restore-journal", ["journal done", RESULT])]
    done = ConvergedPi(tmp_path, answers=answers).deploy("disaster_recovery")
    assert done.code == 1
    assert "This Pi holds data" in done.output
    assert "its backups are on. Nothing is left for a recovery to do." in done.output


def test_an_empty_database_is_no_obstacle(tmp_path: Path) -> None:
    done = ConvergedPi(tmp_path, answers=[(r"docker volume inspect", "none")]).deploy("disaster_recovery")
    assert done.code == 0, done.output
    assert RESTORE in done.planned


def test_a_copy_is_brought_along_before_it_is_asked_which_backup(tmp_path: Path) -> None:
    text = new_text(["loomio"])
    made = PiBackups(tmp_path / "copy", text)
    made.make()
    pi = ScriptedPi(tmp_path, secrets=yaml.safe_load(text))
    done = pi.deploy("disaster_recovery", "--dry", "--json", "--data", f"from={made.folder}")
    assert done.code == 0, done.output
    bring = "Copy | Bring 4 objects into /var/backups/loomio"
    assert done.planned.index(bring) < done.planned.index("Recovery | Take the version that made the backup")


def test_a_copy_is_no_use_while_drive_is_on(tmp_path: Path) -> None:
    credentials = {"type": "authorized_user", "client_id": "i", "client_secret": "s", "refresh_token": "t"}
    pi = ScriptedPi(
        tmp_path, settings={"backup": {"drive": {}}}, secrets={"drive": {"credentials": credentials}}
    )
    done = pi.deploy("disaster_recovery", "--dry", "--json", "--data", f"from={tmp_path}")
    assert done.code == 1
    assert done.operations == []
    assert "For this evening say in the settings:  backup: {drive: off}" in done.output


def test_a_folder_without_backups_is_refused(tmp_path: Path) -> None:
    done = ScriptedPi(tmp_path).deploy("disaster_recovery", "--dry", "--json", "--data", f"from={tmp_path}")
    assert done.code == 1
    assert "holds no whole backup that your key opens. Nothing was changed." in done.output


def test_only_units_that_are_not_there_are_brought_in_one_go(tmp_path: Path) -> None:
    units = list(schedule.TEMPLATES)
    there = (r"ls -1 /etc/systemd/system", units)
    done = ScriptedPi(tmp_path, answers=[there]).deploy("disaster_recovery")
    assert "Schedule | Bring the units" in done.operations
    assert "Schedule | Bring the units" not in done.planned
    lacking = (there[0], units[:-1])
    done = ScriptedPi(tmp_path, answers=[lacking]).deploy("disaster_recovery")
    assert "Schedule | Bring the units" in done.planned


def test_where_there_is_an_engine_nothing_of_it_is_begun_in_the_background(tmp_path: Path) -> None:
    begun = "Docker | Begin to install Docker, and to fetch PostgreSQL and Redis"
    done = ScriptedPi(tmp_path, answers=[(r"dpkg -l", ["ii  docker.io  26.1  all  words"])]).deploy(
        "disaster_recovery"
    )
    assert begun in done.operations
    assert begun not in done.planned


def test_an_engine_of_one_version_is_chosen_with_care_and_the_rest_comes_meanwhile(tmp_path: Path) -> None:
    pinned = ScriptedPi(tmp_path, settings={"docker": {"version": "28.1.1"}}).deploy("disaster_recovery")
    assert "Docker | Begin to install packages" in pinned.planned
    assert not [name for name in pinned.operations if name.startswith("Docker | Begin to install Docker")]
