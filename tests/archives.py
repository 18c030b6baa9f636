"""Archives: unpacking them on every Python there is.

May import: standard library.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterable
from pathlib import Path


def unpack(archive: tarfile.TarFile, folder: Path, members: Iterable[tarfile.TarInfo]) -> None:
    """Unpack these members, and nothing outside of a folder where the interpreter can see to it.

    Python 3.11.0 to 3.11.3, Debian 12's among them, know neither filters nor the argument for them.
    """
    archive.extraction_filter = getattr(tarfile, "data_filter", None)
    archive.extractall(folder, members)
