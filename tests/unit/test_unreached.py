"""What is said when a Pi cannot be logged in to."""

import paramiko
import pytest
from pyinfra.api.exceptions import PyinfraError

from inventories.unreached import ConnectionLostError, changed_key, lost, with_known_errors


def test_a_changed_key_is_explained_with_the_command_and_its_condition() -> None:
    said = changed_key("loomio", "192.168.1.20", 22, None, "ssh-ed25519 SHA256:abc")
    assert "nothing was changed" in said
    assert "run the same command again:  ssh-keygen -R 192.168.1.20  Have you not? Then do not:" in said
    assert "ssh-ed25519 SHA256:abc" in said


def test_the_command_can_be_typed_whatever_port_and_file() -> None:
    said = changed_key("loomio", "127.0.0.1", 2222, "/home/me/my hosts", "k")
    assert "ssh-keygen -f '/home/me/my hosts' -R '[127.0.0.1]:2222'  " in said


def test_a_lost_connection_says_what_to_type() -> None:
    assert "was lost" in lost("loomio")
    assert lost("loomio").endswith("run the same command again.")


@pytest.mark.parametrize(
    "error", [EOFError(), ConnectionResetError("reset"), paramiko.SSHException("SSH session not active")]
)
def test_every_error_of_a_connection_that_ends_is_known_to_pyinfra(error: Exception) -> None:
    def real() -> None:
        raise error

    with pytest.raises(ConnectionLostError, match=str(error) or "EOFError") as caught:
        with_known_errors(real)()
    assert isinstance(caught.value, paramiko.SSHException)
    assert isinstance(caught.value, PyinfraError)


@pytest.mark.parametrize("error", [TimeoutError("30 s"), FileNotFoundError("no such file")])
def test_a_command_that_takes_too_long_and_a_file_that_is_missing_are_no_lost_connection(
    error: Exception,
) -> None:
    def real() -> None:
        raise error

    with pytest.raises(type(error)):
        with_known_errors(real)()
