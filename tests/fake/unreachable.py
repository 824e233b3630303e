"""An inventory whose only host cannot be reached: nothing listens on port 1."""

from inventories import unreached

unreached.tell()

hosts = [("loomio", {"ssh_hostname": "127.0.0.1", "ssh_port": 1, "ssh_user": "pi", "host_name": "loomio"})]
