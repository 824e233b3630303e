"""What is said when a Pi cannot be logged in to."""

from inventories.unreached import changed_key, lost


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
