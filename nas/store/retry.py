"""Patience with a database server that is restarted, or out of reach for a while.

What was in hand is tried again, with longer and longer pauses, for `PATIENCE_SECONDS`. A transaction whose connection
was lost while it was committed may have been committed: so each leaves a receipt, in the same transaction, by which the
next attempt knows, and nothing is recorded twice.
"""

import sys
import time
from collections.abc import Callable
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from nas.errors import StoreError, TransientError
from nas.store.schema import receipts

PATIENCE_SECONDS = 300.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0  # seconds

_INSERT = insert(receipts)
_SIGN = _INSERT.on_conflict_do_update(index_elements=[receipts.c.writer], set_={"number": _INSERT.excluded.number})

T = TypeVar("T")


class Retry:
    """Calls again what a lost connection interrupted. After giving up once it has no patience until a call succeeds."""

    def __init__(self, place: str) -> None:
        self._place = place
        self._patient = True

    def __call__(self, attempt: Callable[[bool], T]) -> T:
        """Of `attempt(False)`, else of `attempt(True)` as soon as one comes through.

        Raises:
            StoreError: none did for `PATIENCE_SECONDS`.
        """
        begun, tries = time.monotonic(), 0
        try:
            while True:
                try:
                    value = attempt(tries > 0)
                    break
                except TransientError as error:
                    tries += 1
                    self._wait(error, time.monotonic() - begun, tries)
        except BaseException:
            self._patient = self._patient and tries == 0  # what follows, such as giving up a lease, must not wait again
            raise
        if tries > 1:
            _say(f"{self._place}: answers again after {time.monotonic() - begun:.0f} s; going on")
        self._patient = True
        return value

    def _wait(self, error: TransientError, seconds: float, tries: int) -> None:
        if not self._patient:
            raise error
        if seconds > PATIENCE_SECONDS:
            given_up = f"given up after {seconds:.0f} s. What was recorded is kept: the same command goes on from there"
            raise StoreError(f"{error}; {given_up}") from None
        if tries == 2:  # once is a restart that nobody needs to hear of
            _say(f"{error}; trying again for up to {PATIENCE_SECONDS:.0f} s")
        time.sleep(min(_FIRST_PAUSE * 2 ** (tries - 1), _LONGEST_PAUSE))


def sign(connection: sa.Connection, writer: str, number: int) -> None:
    """Leave the receipt of the writer's transaction of that number; each takes the place of the one before."""
    connection.execute(_SIGN, {"writer": writer, "number": number})


def is_signed(connection: sa.Connection, writer: str, number: int) -> bool:
    """Whether the writer's transaction of that number, its last one, was committed."""
    return connection.execute(sa.select(receipts.c.number).where(receipts.c.writer == writer)).scalar() == number


def forget(connection: sa.Connection, writer: str) -> None:
    """Take away the receipt of a writer that will write no more."""
    connection.execute(sa.delete(receipts).where(receipts.c.writer == writer))


def _say(message: str) -> None:
    print(f"nas: {message}", file=sys.stderr, flush=True)
