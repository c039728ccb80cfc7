"""Opening a database: the engine, its transactions, its schema, and its errors in one clear line.

SQLite runs in WAL mode with synchronous=FULL: a commit returns after one fsync, so that neither `kill -9` nor a
power cut loses what was acknowledged, and readers never wait for the writer. WAL needs a local disk; for several hosts
use PostgreSQL.

A write that a search would repeat to the letter, such as the row of a trial that begins, need not wait for the disk
(`durable=False`): it survives `kill -9`, a power cut may take it back, and the next durable write makes it last. Not so
on a server, which can lose its power while the search, which remembers such a row, goes on: there all are durable.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import sqlalchemy as sa

from nas.errors import StoreError, TransientError
from nas.store import retry, schema
from nas.store.batch import Batch
from nas.store.engine import BUSY_SECONDS, make_engine
from nas.store.url import StoreUrl

MIGRATIONS = Path(__file__).parent / "migrations"
_UPGRADE_LOCK = 0x6E6173  # any number that other programs are unlikely to choose: "nas"

# SQLSTATE of what passes by itself: broken connections, transactions that were chosen to end a deadlock, servers that
# stop or start. Where a connection could not be made at all, psycopg has no state to tell.
_TRANSIENT = ("08", "40", "57P")

_SQLITE_ADVICE = {
    "SQLITE_FULL": "the disk is full; free some space and run the same command again, what was recorded is kept",
    "SQLITE_NOTADB": "not an SQLite database; choose another file, or move this one away to begin a new one",
    "SQLITE_CORRUPT": "the database is damaged; restore a copy, or save what is left with `sqlite3 FILE .recover`",
    "SQLITE_CANTOPEN": "cannot be opened; is it a file in a folder that you may write to?",
    "SQLITE_READONLY": "cannot be written; check the permissions of the file and its folder",
    "SQLITE_BUSY": f"another process has kept the database locked for {BUSY_SECONDS} s; end it and try again",
    "SQLITE_IOERR": "reading or writing failed; is the disk full, over a quota, or gone?",
}

T = TypeVar("T")


class Database:
    """Transactions on one database, at the newest schema.

    `query` and `transact` survive that a server is restarted or out of reach for a while (`nas.store.retry`); `read`
    and `write` are one attempt each.
    """

    def __init__(self, url: str | Path) -> None:
        """Create the folder and schema where absent; bring an older schema to the newest.

        Raises:
            StoreError: a URL, file or schema that cannot be used; the message never shows a password.
        """
        self._url = StoreUrl.parse(url)
        self.place, self.folder = self._url.place, self._url.folder
        _make_folder(self._url)
        self.engine = make_engine(self._url)
        self._writers = {
            durable: self.engine.execution_options(writes=True, durable=durable) for durable in (True, False)
        }
        self.before_repeat: Callable[[sa.Connection], None] = lambda connection: None
        """What a transaction begins with that takes the place of a lost one; it may refuse by an exception."""
        self._batch: Batch | None = None
        self._retry = retry.Retry(self.place)
        self._name, self._number = uuid4().hex, 0  # of this writer and of its last transaction
        try:
            self._bring_to_head()
        except BaseException:
            self.engine.dispose()
            raise

    def close(self) -> None:
        """End all connections."""
        if self._url.served and self._number:
            with suppress(StoreError), self.write() as connection:
                retry.forget(connection, self._name)
        self.engine.dispose()

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """One consistent view; does not wait for writers."""
        with translated(self._url):
            if self._batch is not None:  # which sees what it wrote
                yield self._batch.connection
                return
            with self.engine.begin() as connection:
                yield connection

    @contextmanager
    def write(self, *, durable: bool = True) -> Iterator[sa.Connection]:
        """One transaction, on the disk when the block has ended if `durable`; waits for other writers first."""
        with translated(self._url):
            if self._batch is not None:
                yield self._batch.connection
                return
            with self._writers[durable].begin() as connection:
                yield connection

    def query(self, work: Callable[[sa.Connection], T]) -> T:
        """What `work` reads, in one consistent view."""
        batch = self._batch

        def attempt(again: bool) -> T:
            with translated(self._url):
                if again and batch is not None:
                    batch.begin_anew()
                    batch.repeat()
                with self.read() as connection:
                    return work(connection)

        return self._retry(attempt)

    def transact(self, work: Callable[[sa.Connection], T], *, durable: bool = True) -> T:
        """Do `work` in one transaction, once, and return what it returned; `durable` as in `write`."""
        if (batch := self._batch) is not None:
            return self._retry(self._translating(lambda again: batch.write(work, again=again)))
        done: list[T] = []
        self._number += 1

        def attempt(again: bool) -> T:
            with self.write(durable=durable) as connection:
                if again and retry.is_signed(connection, self._name, self._number):
                    return done[-1]
                if again:
                    self.before_repeat(connection)
                done.append(work(connection))
                self._sign(connection)
            return done[-1]

        return self._retry(attempt)

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Make one durable transaction of all that is written in the block; an exception takes all of it back.

        Other processes wait meanwhile. For one thread; a batch within a batch is a part of it.
        """
        if self._batch is not None:
            yield
            return
        begin = self._translating(lambda again: Batch(self._writers[True], self.before_repeat))
        self._batch = batch = self._retry(begin)
        try:
            yield
            self._number += 1
            self._retry(self._translating(lambda again: self._commit(batch, again)))
        finally:
            self._batch = None
            batch.close()

    def _commit(self, batch: Batch, again: bool) -> None:
        if again:
            batch.begin_anew()
            if retry.is_signed(batch.connection, self._name, self._number):
                return
            batch.repeat()
        self._sign(batch.connection)
        batch.commit()

    def _sign(self, connection: sa.Connection) -> None:
        if self._url.served:  # a file is never out of reach of the process that writes it
            retry.sign(connection, self._name, self._number)

    def _translating(self, attempt: Callable[[bool], T]) -> Callable[[bool], T]:
        def translating(again: bool) -> T:
            with translated(self._url):
                return attempt(again)

        return translating

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
def translated(url: StoreUrl) -> Iterator[None]:
    """Turn the database's errors into a `StoreError` of one line that begins with the place and holds no password."""
    try:
        yield
    except sa.exc.DBAPIError as error:
        kind = TransientError if url.served and _is_transient(error) else StoreError
        cause = None if url.holds_secret(f"{error} {error.orig}") else error
        raise kind(f"{url.place}: {_reason(error, url)}") from cause
    except OverflowError as error:  # SQLite's integers have 64 bits
        raise StoreError(f"{url.place}: {error}") from error


def _is_transient(error: sa.exc.DBAPIError) -> bool:
    if error.connection_invalidated:
        return True
    state = getattr(error.orig, "sqlstate", None)
    return isinstance(error, sa.exc.OperationalError) and (state is None or state.startswith(_TRANSIENT))


def _reason(error: sa.exc.DBAPIError, url: StoreUrl) -> str:
    name = getattr(error.orig, "sqlite_errorname", "")
    for code, advice in _SQLITE_ADVICE.items():
        if name.startswith(code):  # SQLITE_IOERR_WRITE is a kind of SQLITE_IOERR
            return advice
    return url.redact(str(error.orig))


def _make_folder(url: StoreUrl) -> None:
    if folder := url.folder:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"{url.place}: its folder cannot be created: {error.strerror}") from error


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
