"""A PostgreSQL server of the tests' own, on a socket in a folder that is removed at the end."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_USER = "postgres"  # the server refuses to run as root; Debian's package makes this user
_DURABILITY = ("-c", "fsync=off", "-c", "full_page_writes=off")  # nobody pulls the plug of a test


def unavailable() -> str | None:
    """Why no server can be started here; None if one can."""
    if not _programs():
        return "no PostgreSQL server is installed (Debian: apt-get install postgresql)"
    try:
        import psycopg  # noqa: F401, PLC0415
    except ImportError:
        return "psycopg is not installed"
    if os.getuid() == 0 and subprocess.run(["id", _USER], capture_output=True, check=False).returncode:
        return f"root may not run the server, and there is no user {_USER}"
    return None


def _programs() -> Path | None:
    """The folder of initdb and postgres, which Debian keeps out of the path."""
    found = shutil.which("initdb")
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
    return Path(found).parent if found else debian[-1].parent if debian else None


@contextmanager
def server() -> Iterator[str]:
    """Run a server; yields the URL of its administrative database, whose name `database` replaces."""
    programs, user = _programs(), _USER if os.getuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="nas-pg-"))
    try:
        if user:
            shutil.chown(folder, user)
        data = folder / "data"
        run = [str(programs / "initdb"), "-D", str(data), "-U", "nas", "-A", "trust", "-E", "UTF8", "--no-sync"]
        subprocess.run(run, user=user, cwd=folder, check=True, capture_output=True)
        command = [str(programs / "pg_ctl"), "-D", str(data), "-w"]
        options = " ".join(["-c", "listen_addresses=''", "-k", str(folder), *_DURABILITY])
        log = ["-l", str(folder / "log"), "-o", options]
        subprocess.run([*command, *log, "start"], user=user, cwd=folder, check=True, capture_output=True)
        try:
            yield f"postgresql+psycopg://nas@/postgres?host={folder}"
        finally:
            stop = [*command, "-m", "immediate", "stop"]
            subprocess.run(stop, user=user, cwd=folder, check=True, capture_output=True)
    finally:
        shutil.rmtree(folder)


def database(url: str, name: str, template: str = "template1") -> str:
    """Create a database on the server as a copy of `template`, which is empty by default; returns its URL."""
    import psycopg  # noqa: PLC0415

    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    return url.replace("/postgres?", f"/{name}?")
