"""Python imports this first where this folder is on PYTHONPATH: nothing may ask for a network.

An audit hook sees what any code does with Python's sockets, however it came by them. Every attempt
also goes into the file that ASRKIT_NETWORK_ATTEMPTS names, in case somebody lives with the refusal.
"""

from __future__ import annotations

import os
import sys

ASKS = {
    *("socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg"),
    *("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr", "socket.getnameinfo"),
}


def refuse(event: str, arguments: tuple[object, ...]) -> None:
    if event in ASKS:
        with open(os.environ["ASRKIT_NETWORK_ATTEMPTS"], "a") as file:  # noqa: PTH123
            file.write(f"{event} {arguments[1:]}\n")
        raise OSError(f"there is no network: {event}")


sys.addaudithook(refuse)
