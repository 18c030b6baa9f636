"""Room 4, the door: `python -m app`.

May import: standard library, app.
"""

import sys

from app.cli import main

if __name__ == "__main__":
    sys.exit(main())
