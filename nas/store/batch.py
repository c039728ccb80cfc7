"""`Batch`: many writes in one transaction, which is begun anew, with all of them, when its connection is lost."""

from collections.abc import Callable
from typing import Any, TypeVar

import sqlalchemy as sa

Work = Callable[[sa.Connection], Any]
T = TypeVar("T")


class Batch:
    """One transaction of a writer; for one thread."""

    def __init__(self, engine: sa.Engine, check: Callable[[sa.Connection], None]) -> None:
        """`check` is run first in every transaction that takes the place of a lost one."""
        self._engine, self._check = engine, check
        self._works: list[Work] = []
        self.connection = self._begin()

    def _begin(self) -> sa.Connection:
        connection = self._engine.connect()
        try:
            connection.begin()
        except BaseException:
            connection.close()
            raise
        return connection

    def write(self, work: Callable[[sa.Connection], T], *, again: bool) -> T:
        """Do `work` as a part of the batch; `again`: its connection was lost, so all that came before is done, too."""
        if again:
            self.begin_anew()
            self.repeat()
        value = work(self.connection)
        self._works.append(work)
        return value

    def begin_anew(self) -> None:
        """An empty transaction, on another connection, in place of the lost one."""
        self.close()
        self.connection = self._begin()

    def repeat(self) -> None:
        """Do all that has been done, in a transaction begun anew."""
        self._check(self.connection)
        for work in self._works:
            work(self.connection)

    def commit(self) -> None:
        """Make all of it durable."""
        self.connection.commit()
        self.close()

    def close(self) -> None:
        """Take back what was not committed."""
        self.connection.close()
