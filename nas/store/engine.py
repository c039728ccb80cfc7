"""Connections to a database, set up so that commits last and a server that vanished is noticed."""

from typing import Any

import sqlalchemy as sa

from nas.errors import StoreError
from nas.store.url import StoreUrl

BUSY_SECONDS = 60  # how long a process waits for its turn to write
_CACHE_KB = 262144  # all indexes of a million trials; only what is read is kept
_CHECKPOINT_PAGES = 10_000  # 40 MB of log: in a large file each trial changes pages of its own, which is dear to repeat

# libpq: give up on a connection whose peer answers nothing for about 30 s, where TCP alone would wait for a quarter of
# an hour. What the URL says about these goes before.
_NOTICE = {
    "connect_timeout": "10",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "4",
    "tcp_user_timeout": "30000",  # ms
}
# The same for the server, so that a driver that lost its connection does not leave its rows locked.
_NOTICE_US = (
    "SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 4; "
    "SET tcp_user_timeout = 30000"
)


def make_engine(url: StoreUrl) -> sa.Engine:
    """An engine whose transactions know the execution options `writes` and `durable`.

    Raises:
        StoreError: the driver of the URL is unknown or not installed.
    """
    try:
        engine = sa.create_engine(url.url, connect_args=_connect_args(url))
    except sa.exc.NoSuchModuleError:
        driver = url.url.drivername
        raise StoreError(f"{url.place}: unknown driver {driver!r}; expected sqlite or postgresql+psycopg") from None
    except ImportError as error:
        reason = url.redact(str(error))
        message = f"{url.place}: the driver is missing ({reason}); try `pip install 'psycopg[binary]'`"
        raise StoreError(message) from error
    if url.served:
        sa.event.listen(engine, "connect", _set_up_postgresql)
    else:
        sa.event.listen(engine, "connect", _set_up_sqlite)
        sa.event.listen(engine, "begin", _begin_sqlite)
    return engine


def _connect_args(url: StoreUrl) -> dict[str, str]:
    if not url.served or url.url.get_driver_name() != "psycopg":
        return {}
    return {name: value for name, value in _NOTICE.items() if name not in url.url.query}


def _set_up_postgresql(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    cursor.execute(_NOTICE_US)
    cursor.close()
    connection.commit()


def _set_up_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # the driver begins no transactions of its own
    connection.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}")  # first: the next line needs the lock
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute(f"PRAGMA cache_size = -{_CACHE_KB}")
    connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")


def _begin_sqlite(connection: sa.Connection) -> None:
    options = connection.get_execution_options()
    connection.exec_driver_sql(f"PRAGMA synchronous = {'FULL' if options.get('durable', True) else 'NORMAL'}")
    # A writer takes its place in the queue at once: a reader that turns writer would be refused, not queued.
    connection.exec_driver_sql("BEGIN IMMEDIATE" if options.get("writes", False) else "BEGIN")
