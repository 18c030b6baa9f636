"""Room 3, the world: one PostgreSQL cluster on disk, created, started and stopped.

May import: standard library.

Nothing here is safe against a second process; `postgres.py` holds the lock around every call.
"""

import os
import re
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import quote

from .errors import EmbeddedUnavailable
from .places import SET_DATABASE_URL, Place, open_to_all

_PORT = 5432
_START_SECONDS = 60
_ANSWER_SECONDS = 3
_SUPERUSER = "postgres"
_SOCKET_PATH_MAX_BYTES = 100  # The kernel's limit is 107 on Linux and 103 on macOS.
_LOG_MAX_BYTES = 1_000_000
# Not the caller's environment: PGPORT, PGDATA or a Latin-1 LANG would change what the programs do.
_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}
_SETTINGS = {
    "listen_addresses": "",
    "port": str(_PORT),
    "unix_socket_permissions": "0700",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Postmaster:
    """What a server writes about itself into `postmaster.pid`."""

    pid: int
    socket_dir: Path
    ready: bool


class Cluster:
    """The cluster in one place."""

    def __init__(self, place: Place) -> None:
        self._place = place

    @property
    def url(self) -> str:
        """Where clients connect while the server runs."""
        running = self._postmaster()
        assert running is not None
        host = quote(str(running.socket_dir), safe="/")
        # The port is spelled out because asyncpg and libpq else take it from PGPORT.
        return f"postgresql://{_SUPERUSER}@/{_SUPERUSER}?host={host}&port={_PORT}"

    def ensure_running(self) -> None:
        """Create the cluster if there is none, and start its server unless it answers already.

        Raises:
            EmbeddedUnavailable: It does not start; the reason is the last line of its log.
        """
        if not (self._place.data / "PG_VERSION").exists():
            self._create()
        give_up_at = time.monotonic() + _START_SECONDS
        while not self._answers():
            if time.monotonic() > give_up_at:
                raise self._failed(f"did not answer within {_START_SECONDS} seconds")
            if not self._is_alive():
                self._clear_traces()
                self._launch()
            time.sleep(0.05)

    def stop(self) -> None:
        """Stop the server, with connections open or not; do nothing if none runs."""
        running = self._postmaster()
        if running is None or not self._is_alive():
            return
        for mode in ("fast", "immediate"):
            code, _ = self._run("pg_ctl", "stop", "-D", "data", "-w", "-t", "30", "-m", mode)
            if code == 0:
                break
        self._remove_socket_dir(running.socket_dir)

    def _create(self) -> None:
        home = self._place.home
        for unfinished in home.glob("init-*"):
            shutil.rmtree(unfinished, ignore_errors=True)
        fresh = self._give(Path(tempfile.mkdtemp(prefix="init-", dir=home)))
        locale = ["--locale=C"]
        if self._place.major >= 17:
            locale += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        code, output = self._run(
            "initdb", "-D", fresh.name, "-U", _SUPERUSER, "--auth=trust", "--encoding=UTF8", *locale
        )
        if code != 0:
            shutil.rmtree(fresh, ignore_errors=True)
            raise self._failed(_reason(output))
        # Renamed when complete: a start that was killed half-way leaves no half-made cluster.
        fresh.rename(self._place.data)

    def _launch(self) -> None:
        log = self._place.home / "server.log"
        if log.exists() and log.stat().st_size > _LOG_MAX_BYTES:
            log.rename(log.with_suffix(".log.1"))
        socket_dir = self._make_socket_dir()
        settings = {**_SETTINGS, "unix_socket_directories": str(socket_dir)}
        options = " ".join(f"-c {name}='{value}'" for name, value in settings.items())
        start = ("start", "-D", "data", "-w", "-t", str(_START_SECONDS), "-o", options)
        with log.open("ab") as stream:
            begin = stream.tell()
            code, _ = self._run("pg_ctl", *start, stream=stream)
        if code == 0:
            return
        self._remove_socket_dir(socket_dir)
        said = log.read_bytes()[begin:].decode(errors="replace")
        # After a kill -9 the old server's children may need a moment to notice; the loop retries.
        if "shared memory block" not in said:
            raise self._failed(_reason(said))

    def _make_socket_dir(self) -> Path:
        """Make a folder for the socket that only the server's account may enter.

        The cluster's own folder, unless its path is too long for a socket or has characters that
        would need quoting in a shell, in a setting or in a URL.
        """
        inside = self._place.home / "run"
        if re.fullmatch(r"[A-Za-z0-9/._-]+", str(inside)) and _fits(inside):
            inside.mkdir(mode=0o700, exist_ok=True)
            return self._give(inside)
        for base in (Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp")):  # noqa: S108
            if _fits(base / "chatcore-12345678") and (not self._place.account or open_to_all(base)):
                return self._give(Path(tempfile.mkdtemp(prefix="chatcore-", dir=base)))
        raise self._failed("found no folder with a path short enough for a socket")

    def _remove_socket_dir(self, socket_dir: Path) -> None:
        if socket_dir != self._place.home / "run" and socket_dir.name.startswith("chatcore-"):
            shutil.rmtree(socket_dir, ignore_errors=True)

    def _clear_traces(self) -> None:
        """Remove what a killed server left: its process id may belong to a stranger by now."""
        left = self._postmaster()
        (self._place.data / "postmaster.pid").unlink(missing_ok=True)
        if left is not None:
            for each in left.socket_dir.glob(".s.PGSQL.*"):
                each.unlink(missing_ok=True)
            self._remove_socket_dir(left.socket_dir)

    def _postmaster(self) -> Postmaster | None:
        try:
            text = (self._place.data / "postmaster.pid").read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        lines = [*text.splitlines(), *[""] * 8]
        if not lines[0].strip().isdigit() or not lines[4]:
            return None
        ready = lines[7].strip() == "ready"
        return Postmaster(pid=int(lines[0]), socket_dir=Path(lines[4]), ready=ready)

    def _answers(self) -> bool:
        running = self._postmaster()
        if running is None or not running.ready:
            return False
        # Not only connecting: the kernel accepts for a server that is stopped or just being killed.
        where = ("-h", str(running.socket_dir), "-p", str(_PORT), "-U", _SUPERUSER)
        code, _ = self._run("pg_isready", "-q", "-t", str(_ANSWER_SECONDS), *where)
        return code == 0

    def _is_alive(self) -> bool:
        """Tell whether the process that `postmaster.pid` names is a server on this very data."""
        running = self._postmaster()
        if running is None:
            return False
        if Path("/proc/self").exists():
            try:  # A server's working folder is its data.
                return Path(f"/proc/{running.pid}/cwd").readlink() == self._place.data
            except OSError:
                return False
        ps = ["/bin/ps", "-o", "command=", "-p", str(running.pid)]
        answer = subprocess.run(ps, capture_output=True, text=True, check=False)  # noqa: S603
        return "postgres" in answer.stdout

    def _give(self, folder: Path) -> Path:
        if self._place.account is not None:
            os.chown(folder, self._place.account.uid, self._place.account.gid)
        return folder

    def _run(
        self, program: str, *arguments: str, stream: IO[bytes] | None = None
    ) -> tuple[int, str]:
        account = self._place.account
        done = subprocess.run(  # noqa: S603 - the wheel's programs
            [self._place.binaries / program, *arguments],
            cwd=self._place.home,  # Paths are relative to it, so no path needs quoting.
            env=_ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=stream or subprocess.PIPE,
            stderr=subprocess.STDOUT,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
            timeout=2 * _START_SECONDS,
            check=False,
        )
        return done.returncode, (done.stdout or b"").decode(errors="replace")

    def _failed(self, reason: str) -> EmbeddedUnavailable:
        return EmbeddedUnavailable(
            f"the embedded PostgreSQL in {self._place.home} does not start ({reason})",
            remedy=f"read server.log there, choose another DATA_DIR, or {SET_DATABASE_URL}",
        )


def _fits(socket_dir: Path) -> bool:
    return len(os.fsencode(socket_dir / f".s.PGSQL.{_PORT}.lock")) <= _SOCKET_PATH_MAX_BYTES


def _reason(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if re.search(r"FATAL|PANIC|error:", line)]
    return (errors or lines or ["no reason given"])[-1]
