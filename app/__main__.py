"""Room 4, the door: `python -m app`.

May import: standard library, app.
"""

import signal
import sys

if __name__ == "__main__":
    # The imports take a second and have nothing to undo: until they are done, Ctrl-C just ends us.
    handler = signal.getsignal(signal.SIGINT)
    if handler is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from app.cli import main

    signal.signal(signal.SIGINT, handler)
    sys.exit(main())
