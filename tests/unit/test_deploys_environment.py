"""The stack's .env: every value comes back as it was meant, and what is off is absent."""

import json
import random
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploys.steps import dotenv, environment
from deploys.steps.dotenv import DotenvError
from loomio_backup.backup.bundle import parse_env

from . import deploys_desk as desk

AWKWARD = [
    "two words",
    "  around  ",
    "a#b",
    "a #b",
    "#",
    "$HOME",
    "${HOME}",
    "$$",
    "it's",
    '"quoted"',
    "back\\slash",
    "ends\\",
    "\\",
    "\\'",
    "a\\nb",
    "'$x\\'",
    "`id`",
    "$(id)",
    "a=b=c",
    "é ü 漢字 🎉",
    "a'b\"c$d\\e#f",
    "tab\there",
    " ",
]


def test_the_whole_file(tmp_path: Path) -> None:
    values = parse_env(environment.render(desk.settings(tmp_path), secrets := desk.secrets()))
    password = secrets.app.postgres_password.get_secret_value()
    assert values["COMPOSE_FILE"] == "files/stack/docker-compose.yml"
    assert values["COMPOSE_PROJECT_NAME"] == "loomio-pi-stack"
    assert values["LOOMIO_ENV_FILE"] == "/opt/loomio-pi-stack/.env"
    assert values["LOOMIO_IMAGE"] == "loomio/loomio:3.5"
    assert values["CANONICAL_HOST"] == "loomio.example.org"
    assert values["PUBLIC_APP_URL"] == "https://loomio.example.org"
    assert values["DATABASE_URL"] == f"postgresql://loomio:{password}@db/loomio_production"
    assert values["VAPID_SUBJECT"] == "mailto:help@example.org"
    for key in environment.APPLICATION_KEYS:
        assert values[key]


def test_nothing_is_rendered_empty_because_presence_enables(tmp_path: Path) -> None:
    values = parse_env(environment.render(desk.settings(tmp_path), desk.secrets()))
    assert not [name for name in values if name.startswith("SMTP_")]
    assert all(values.values())


def test_mail(tmp_path: Path) -> None:
    smtp = {"server": "mail.example.org", "port": 465, "username": "loomio", "use_ssl": True}
    settings = desk.settings(tmp_path, stack={"smtp": smtp})
    values = parse_env(environment.render(settings, desk.secrets(app={"smtp_password": "it's $5 #1"})))
    assert values["SMTP_SERVER"] == "mail.example.org"
    assert values["SMTP_PORT"] == "465"
    assert values["SMTP_USE_SSL"] == "1"
    assert values["SMTP_PASSWORD"] == "it's $5 #1"


def test_mail_without_login_and_tls_has_neither(tmp_path: Path) -> None:
    settings = desk.settings(tmp_path, stack={"smtp": {"server": "mail.example.org"}})
    values = parse_env(environment.render(settings, desk.secrets()))
    assert values["SMTP_SERVER"] == "mail.example.org"
    assert not {"SMTP_USERNAME", "SMTP_PASSWORD", "SMTP_AUTH", "SMTP_USE_SSL"}.intersection(values)


def test_own_variables_add_replace_and_remove(tmp_path: Path) -> None:
    own = {"FEATURES_DISABLE_CREATE_USER": "1", "WEB_CONCURRENCY": "4", "FORCE_SSL": "", "NOTE": "it's #1"}
    text = environment.render(desk.settings(tmp_path, stack={"environment": own}), desk.secrets())
    values = parse_env(text)
    assert values["FEATURES_DISABLE_CREATE_USER"] == "1"
    assert values["WEB_CONCURRENCY"] == "4"
    assert values["NOTE"] == "it's #1"
    assert "FORCE_SSL" not in values
    assert text.count("WEB_CONCURRENCY") == 1


def test_a_password_with_special_characters_survives_in_the_database_url(tmp_path: Path) -> None:
    values = parse_env(
        environment.render(desk.settings(tmp_path), desk.secrets(app={"postgres_password": "a/b@c:d e"}))
    )
    assert values["POSTGRES_PASSWORD"] == "a/b@c:d e"
    assert values["DATABASE_URL"] == "postgresql://loomio:a%2Fb%40c%3Ad%20e@db/loomio_production"


@given(
    st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp"), include_characters="\t"), min_size=1)
)
def test_the_agent_reads_back_any_value(value: str) -> None:
    assert parse_env(dotenv.line("NAME", value)) == {"NAME": value}


@pytest.mark.parametrize("value", ["a\nb", "a\rb", "a\0b"])
def test_a_line_break_is_refused_without_repeating_the_value(value: str) -> None:
    with pytest.raises(DotenvError) as caught:
        dotenv.line("SMTP_PASSWORD", value)
    assert "SMTP_PASSWORD" in str(caught.value)
    assert value not in str(caught.value)


def test_a_name_that_is_none_is_refused() -> None:
    with pytest.raises(DotenvError, match="my-name"):
        dotenv.line("my-name", "x")


def _has_compose() -> bool:
    docker = shutil.which("docker")
    return (
        docker is not None
        and not subprocess.run([docker, "compose", "version"], capture_output=True).returncode
    )


@pytest.mark.skipif(not _has_compose(), reason="Docker Compose is not installed")
def test_compose_reads_back_awkward_values(tmp_path: Path) -> None:
    chance = random.Random(7)
    values = AWKWARD + [
        "".join(chance.choices("ab '\"$\\#{}=nt0`!", k=chance.randint(1, 12))) for _ in range(200)
    ]
    names = {f"V{number}": value for number, value in enumerate(values)}
    (tmp_path / ".env").write_text("".join(dotenv.line(name, value) + "\n" for name, value in names.items()))
    (tmp_path / "compose.yml").write_text("services:\n  x:\n    image: x\n    env_file: .env\n")
    command = ["docker", "compose", "config", "--format", "json"]
    shown = subprocess.run(
        command, cwd=tmp_path, capture_output=True, check=True, env={"PATH": "/usr/bin:/bin"}
    )
    # A dollar sign is doubled in what `config` prints, so that it can be read as a compose file again.
    found = json.loads(shown.stdout)["services"]["x"]["environment"]
    assert {name: value.replace("$$", "$") for name, value in found.items()} == names
