"""A PostgreSQL server of the tests' own, on a socket in a folder that is removed at the end."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

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


class Server:
    """A server that can be stopped and started; its administrative database is at `url`."""

    def __init__(self, folder: Path, password: str | None = None) -> None:
        """With a `password` it lets nobody in who does not know it."""
        self._folder, self._user = folder, _USER if os.getuid() == 0 else None
        self._data = folder / "data"
        who = "nas" if password is None else f"nas:{quote(password, safe='')}"
        self.url = f"postgresql+psycopg://{who}@/postgres?host={folder}"
        if self._user:
            shutil.chown(folder, self._user)
        trust = ["-A", "trust"]
        if password is not None:
            (folder / "password").write_text(password)
            trust = ["-A", "scram-sha-256", "--pwfile", str(folder / "password")]
        self._run("initdb", "-D", str(self._data), "-U", "nas", *trust, "-E", "UTF8", "--no-sync")

    def _run(self, program: str, *arguments: str) -> None:
        programs = _programs()
        assert programs is not None, "unavailable() has been asked"
        command = [str(programs / program), *arguments]
        subprocess.run(command, user=self._user, cwd=self._folder, check=True, capture_output=True)

    def _control(self, *arguments: str) -> None:
        self._run("pg_ctl", "-D", str(self._data), "-w", *arguments)

    def start(self) -> None:
        """Returns when it answers."""
        options = " ".join(["-c", "listen_addresses=''", "-k", str(self._folder), *_DURABILITY])
        self._control("-l", str(self._folder / "log"), "-o", options, "start")

    def stop(self, mode: str = "immediate") -> None:
        """`fast` ends the sessions in an orderly way, `immediate` is what a crash leaves behind."""
        self._control("-m", mode, "stop")


@contextmanager
def running(password: str | None = None) -> Iterator[Server]:
    """A server that has been started; whatever became of it, it is gone in the end."""
    folder = Path(tempfile.mkdtemp(prefix="nas-pg-"))
    try:
        found = Server(folder, password)
        found.start()
        try:
            yield found
        finally:
            with suppress(subprocess.CalledProcessError):  # a test may have stopped it
                found.stop()
    finally:
        shutil.rmtree(folder)


@contextmanager
def server() -> Iterator[str]:
    """Run a server; yields the URL of its administrative database, whose name `database` replaces."""
    with running() as found:
        yield found.url


def database(url: str, name: str, template: str = "template1") -> str:
    """Create a database on the server as a copy of `template`, which is empty by default; returns its URL."""
    import psycopg  # noqa: PLC0415

    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    return url.replace("/postgres?", f"/{name}?")
