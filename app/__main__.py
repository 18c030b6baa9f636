"""Room 4, the door: `python -m app`.

May import: standard library, app.
"""

import gc
import os
import signal
import sys


def _keep_standard_streams() -> None:
    """Open what is closed of the first three: else a socket gets its number, and prints."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)


if __name__ == "__main__":
    _keep_standard_streams()
    # The imports take a second and have nothing to undo: until they are done, Ctrl-C just ends us.
    handler = signal.getsignal(signal.SIGINT)
    if handler is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    # What they make stays: looking for garbage in it is a quarter of that second.
    gc.disable()
    from app.cli import main

    gc.enable()
    signal.signal(signal.SIGINT, handler)
    sys.exit(main())
