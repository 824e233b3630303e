"""SSH that sends at once what there is to send.

A deploy is hundreds of small commands. Paramiko leaves TCP's Nagle algorithm on, so that parts of each wait
for the other side's delayed acknowledgement: some 40 ms, most of what a command costs in a home network.
"""

import socket
from typing import Any

from paramiko import Transport


def transport(sock: Any, **arguments: Any) -> Transport:
    """For `transport_factory` of paramiko.SSHClient.connect. `sock`: a socket, or what stands for one where
    the way leads through another host.
    """
    if isinstance(sock, socket.socket):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return Transport(sock, **arguments)
