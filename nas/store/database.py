"""Opening a database: the engine, its transactions, its schema, and its errors in one clear line.

SQLite runs in WAL mode with synchronous=FULL: a commit returns after one fsync, so that neither `kill -9` nor a
power cut loses what was acknowledged, and readers never wait for the writer. WAL needs a local disk; for several hosts
use PostgreSQL.

A write that a search would repeat to the letter, such as the row of a trial that begins, need not wait for the disk
(`write(durable=False)`): it survives `kill -9`, a power cut may take it back, and the next durable write makes it last.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from nas.errors import StoreError
from nas.store import schema

MIGRATIONS = Path(__file__).parent / "migrations"
BUSY_SECONDS = 60  # how long a process waits for its turn to write
_CACHE_KB = 65536  # the inner pages of all indexes of a million trials
_UPGRADE_LOCK = 0x6E6173  # any number that other programs are unlikely to choose: "nas"
_BACKENDS = ("sqlite", "postgresql")

_SQLITE_ADVICE = {
    "SQLITE_FULL": "the disk is full; free some space and run the same command again, what was recorded is kept",
    "SQLITE_NOTADB": "not an SQLite database; choose another file, or move this one away to begin a new one",
    "SQLITE_CORRUPT": "the database is damaged; restore a copy, or save what is left with `sqlite3 FILE .recover`",
    "SQLITE_CANTOPEN": "cannot be opened; is it a file in a folder that you may write to?",
    "SQLITE_READONLY": "cannot be written; check the permissions of the file and its folder",
    "SQLITE_BUSY": f"another process has kept the database locked for {BUSY_SECONDS} s; end it and try again",
    "SQLITE_IOERR": "reading or writing failed; is the disk full, over a quota, or gone?",
}


class Database:
    """Transactions on one database, at the newest schema."""

    def __init__(self, url: str | Path) -> None:
        """Create the folder and schema where absent; bring an older schema to the newest.

        Raises:
            StoreError: a URL, file or schema that cannot be used; the message never shows a password.
        """
        parsed = _parse(url)
        self.place = _place(parsed)
        self.folder = _folder(parsed)
        if parsed.get_backend_name() == "sqlite":
            _make_folder(parsed, self.place)
        self.engine = _engine(parsed, self.place)
        self._writers = {
            durable: self.engine.execution_options(writes=True, durable=durable) for durable in (True, False)
        }
        self._batch: sa.Connection | None = None
        try:
            self._bring_to_head()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End all connections."""
        self.engine.dispose()

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """One consistent view; does not wait for writers."""
        with translated(self.place):
            if self._batch is not None:  # which sees what it wrote
                yield self._batch
                return
            with self.engine.begin() as connection:
                yield connection

    @contextmanager
    def write(self, *, durable: bool = True) -> Iterator[sa.Connection]:
        """One transaction, on the disk when the block has ended if `durable`; waits for other writers first."""
        with translated(self.place):
            if self._batch is not None:
                yield self._batch
                return
            with self._writers[durable].begin() as connection:
                yield connection

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Make one durable transaction of all that is written in the block; an exception takes all of it back.

        Other processes wait meanwhile. For one thread; a batch within a batch is a part of it.
        """
        outer = self._batch
        with self.write() as connection:
            self._batch = connection
            try:
                yield
            finally:
                self._batch = outer

    def _bring_to_head(self) -> None:
        with self.read() as connection:
            if _revision(connection) == schema.HEAD:
                return
        with self.write() as connection:
            if connection.dialect.name == "postgresql":  # where writers do not exclude each other
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_UPGRADE_LOCK)))
            # Now alone, look again: another process may have been faster.
            revision = _revision(connection)
            if revision != schema.HEAD:
                _require_ours(connection, revision, self.place)
                upgrade(connection)


def upgrade(connection: sa.Connection) -> None:
    """Run the missing revisions inside the transaction of `connection`."""
    from alembic import command  # noqa: PLC0415  # slow to import, and seldom needed

    config = _alembic_config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


@contextmanager
def translated(place: str) -> Iterator[None]:
    """Turn the database's errors into a `StoreError` of one line that begins with `place`."""
    try:
        yield
    except sa.exc.DBAPIError as error:
        raise StoreError(f"{place}: {_reason(error)}") from error
    except OverflowError as error:  # SQLite's integers have 64 bits
        raise StoreError(f"{place}: {error}") from error


def _reason(error: sa.exc.DBAPIError) -> str:
    name = getattr(error.orig, "sqlite_errorname", "")
    for code, advice in _SQLITE_ADVICE.items():
        if name.startswith(code):  # SQLITE_IOERR_WRITE is a kind of SQLITE_IOERR
            return advice
    return _one_line(error.orig)


def _one_line(error: BaseException | None) -> str:
    return " ".join(str(error).split())


def _parse(url: str | Path) -> sa.URL:
    if isinstance(url, Path) or "://" not in url:
        return sa.URL.create("sqlite", database=str(url))
    try:
        parsed = sa.make_url(url)
        backend = parsed.get_backend_name()
    except (sa.exc.ArgumentError, ValueError):  # ValueError: a port that is no number
        raise StoreError("the store's URL cannot be read; expected sqlite:///FILE or postgresql://HOST/NAME") from None
    if backend not in _BACKENDS:
        raise StoreError(f"{_place(parsed)}: unknown database {backend!r}; expected one of {', '.join(_BACKENDS)}")
    return parsed


def _place(url: sa.URL) -> str:
    """How messages name the database: its file, or its URL without password and options."""
    if url.get_backend_name() == "sqlite":
        return url.database or "the store in memory"
    return url.set(query={}).render_as_string(hide_password=True)


def _folder(url: sa.URL) -> Path | None:
    """Where the file lies; None for a server or a database in memory."""
    if url.get_backend_name() != "sqlite" or url.database in (None, "", ":memory:"):
        return None
    return Path(str(url.database)).parent


def _make_folder(url: sa.URL, place: str) -> None:
    if folder := _folder(url):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"{place}: its folder cannot be created: {error.strerror}") from error


def _engine(url: sa.URL, place: str) -> sa.Engine:
    try:
        engine = sa.create_engine(url)
    except sa.exc.NoSuchModuleError:
        raise StoreError(f"{place}: unknown driver {url.drivername!r}; expected sqlite or postgresql+psycopg") from None
    except ImportError as error:
        reason = _one_line(error)
        raise StoreError(f"{place}: the driver is missing ({reason}); try `pip install 'psycopg[binary]'`") from error
    if engine.dialect.name == "sqlite":
        sa.event.listen(engine, "connect", _set_up_sqlite)
        sa.event.listen(engine, "begin", _begin_sqlite)
    else:
        sa.event.listen(engine, "begin", _begin_postgresql)
    return engine


def _set_up_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # the driver begins no transactions of its own
    connection.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}")  # first: the next line needs the lock
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute(f"PRAGMA cache_size = -{_CACHE_KB}")


def _begin_sqlite(connection: sa.Connection) -> None:
    options = connection.get_execution_options()
    connection.exec_driver_sql(f"PRAGMA synchronous = {'FULL' if options.get('durable', True) else 'NORMAL'}")
    # A writer takes its place in the queue at once: a reader that turns writer would be refused, not queued.
    connection.exec_driver_sql("BEGIN IMMEDIATE" if options.get("writes", False) else "BEGIN")


def _begin_postgresql(connection: sa.Connection) -> None:
    if not connection.get_execution_options().get("durable", True):
        connection.exec_driver_sql("SET LOCAL synchronous_commit = off")


def _revision(connection: sa.Connection) -> str | None:
    """The schema's revision; None when it has none yet."""
    if not sa.inspect(connection).has_table(schema.VERSION_TABLE):
        return None
    table = sa.table(schema.VERSION_TABLE, sa.column("version_num"))
    revision: str | None = connection.execute(sa.select(table)).scalar()
    return revision


def _require_ours(connection: sa.Connection, revision: str | None, place: str) -> None:
    """Neither a database of a newer version nor one of another program."""
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    known = {script.revision for script in ScriptDirectory.from_config(_alembic_config()).walk_revisions()}
    if revision is not None and revision not in known:
        raise StoreError(f"{place}: was written by a newer nas; upgrade with `pip install -U nas`")
    taken = set(schema.metadata.tables) & set(sa.inspect(connection).get_table_names())
    if revision is None and taken:
        raise StoreError(f"{place}: belongs to another program ({', '.join(sorted(taken))}); choose another database")


def _alembic_config() -> Any:
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))  # it interpolates like an ini file
    return config
