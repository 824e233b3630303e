"""Small commands over SSH do not wait for more to send."""

from __future__ import annotations

import socket

from inventories import hosts, prompt_ssh
from inventories.settings import Host


def test_every_pi_is_reached_over_connections_that_send_at_once() -> None:
    data = hosts._ssh(Host(address="192.168.1.20"))
    make = data["ssh_paramiko_connect_kwargs"]["transport_factory"]
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as ours,
    ):
        made = make(ours, gss_kex=False, gss_deleg_creds=True, disabled_algorithms=None)
        try:
            assert ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        finally:
            made.close()


def test_what_is_no_socket_is_taken_as_it_is() -> None:
    class Channel:
        def settimeout(self, seconds: float) -> None:
            self.seconds = seconds

        def close(self) -> None:
            pass

    prompt_ssh.transport(Channel()).close()
