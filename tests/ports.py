"""A port for a server that is about to start as a process of its own.

May import: standard library.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def kept_port() -> Iterator[int]:
    """Give a port of 127.0.0.1 that nobody listens on, and keep it for who asks for it by number.

    A free port that was merely looked up is given to anybody else meanwhile, clients included, and
    tests run side by side. One that is bound and not listened on Linux gives to nobody who takes
    any port, and a server that names it gets it all the same (SO_REUSEADDR). Other systems would
    refuse it to the server, so there it is let go.
    """
    with socket.socket() as keeping:
        keeping.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        keeping.bind(("127.0.0.1", 0))
        port = int(keeping.getsockname()[1])
        if sys.platform != "linux":
            keeping.close()
        yield port
