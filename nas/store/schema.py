"""The tables. A change here needs a revision in `migrations/versions` and a new `HEAD`; a test compares the two."""

import json
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from nas.store.records import COLUMNS

HEAD = "0004"  # the newest revision, so that opening a database that is up to date need not import alembic
VERSION_TABLE = "nas_version"

metadata = sa.MetaData()


class Json(sa.types.TypeDecorator[Any]):
    """Plain data as compact JSON text, which keeps infinities, unlike the JSON types of the databases."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: sa.Dialect) -> str | None:
        """Nothing stays NULL."""
        return None if value is None else json.dumps(value, separators=(",", ":"))

    def process_result_value(self, value: str | None, dialect: sa.Dialect) -> Any:
        """The inverse; mappings come back as dictionaries in their order."""
        return None if value is None else json.loads(value)


class UtcDateTime(sa.types.TypeDecorator[datetime]):
    """An aware time in UTC; SQLite, which knows no zones, holds it without one."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """To UTC."""
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """From UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


studies = sa.Table(
    "studies",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.Text, nullable=False, unique=True),
    sa.Column("settings", Json, nullable=False),
    sa.Column("fidelity", sa.Text),  # what makes accuracies comparable; NULL: nothing is reused from this study
    sa.Column("basis", Json),  # versions of what decides which networks are tried
    sa.Column("fork_of", sa.Text),  # name of the study whose trials this one started from
    sa.Column("inherited", sa.Integer, nullable=False),  # how many those were
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("owner", sa.Text),  # the process that drives the study now, "host:pid:start"
    sa.Column("owner_since", UtcDateTime),
    sa.Column("heartbeat_at", UtcDateTime),  # when it last said that it does
    sa.Column("lease_until", UtcDateTime),
)

architectures = sa.Table(
    "architectures",
    metadata,
    sa.Column("id", sa.String(16), primary_key=True),  # Architecture.id
    sa.Column("network", sa.LargeBinary, nullable=False),  # Architecture.to_json, compressed by zlib: 3 kB to 0.4 kB
    sa.Column("params", sa.BigInteger, nullable=False),
    sa.Column("macs", sa.BigInteger, nullable=False),
    sa.Column("peak_activation_bytes", sa.BigInteger, nullable=False),
)

latencies = sa.Table(
    "latencies",  # of networks by models other than that of their study
    metadata,
    sa.Column("architecture_id", sa.ForeignKey("architectures.id"), primary_key=True),
    sa.Column("target", sa.Text, primary_key=True),
    sa.Column("latency_version", sa.Text, primary_key=True),
    sa.Column("latency_ms", sa.Float, nullable=False),
    sqlite_with_rowid=False,
)

trials = sa.Table(
    "trials",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("study_id", sa.ForeignKey("studies.id"), nullable=False),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("architecture_id", sa.ForeignKey("architectures.id"), nullable=False),
    sa.Column("state", sa.String(8), nullable=False),
    sa.Column("accuracy", sa.Float),  # metrics["accuracy"], for the index of the front
    sa.Column("latency_ms", sa.Float),  # as predicted when it was proposed; other predictions are in `latencies`
    sa.Column("target", sa.Text),
    sa.Column("latency_version", sa.Text),
    sa.Column("epochs", sa.Integer),
    sa.Column("parent", sa.Integer),  # a trial number of the same study
    sa.Column("asked_after", sa.Integer, nullable=False),
    sa.Column("told", sa.Integer),
    sa.Column("seed", sa.BigInteger, nullable=False),
    sa.Column("lost", sa.Integer, nullable=False),
    sa.Column("metrics", Json),  # NULL as long as there is no outcome
    sa.Column("error", sa.Text),
    sa.Column("stopped", sa.Boolean),
    sa.Column("started_at", UtcDateTime),
    sa.Column("ended_at", UtcDateTime),
    sa.Column("host", sa.Text, nullable=False),
    sa.Column("pid", sa.Integer, nullable=False),
    sa.Column("versions", Json, nullable=False),
    sa.Column("source_id", sa.ForeignKey("trials.id")),  # the trial whose outcome was reused; NULL: it was trained
    sa.UniqueConstraint("study_id", "number", name="uq_trials_number"),
)

# The predicate has no parameter: SQLite takes a partial index only when the query repeats it literally.
IS_COMPLETE = sa.text("state = 'complete'")

sa.Index("ix_trials_state", trials.c.study_id, trials.c.state)
sa.Index("ix_trials_architecture", trials.c.architecture_id)
sa.Index(
    "ix_trials_front",  # holds all that a front asks for, in the order in which it asks
    trials.c.accuracy.desc(),
    trials.c.latency_ms,
    trials.c.id,
    trials.c.study_id,
    trials.c.target,
    trials.c.state,  # the same in all entries, but else SQLite would look it up in the table
    sqlite_where=IS_COMPLETE,
    postgresql_where=IS_COMPLETE,
)

epochs = sa.Table(
    "epochs",
    metadata,
    sa.Column("trial_id", sa.ForeignKey("trials.id"), primary_key=True),
    sa.Column("epoch", sa.Integer, primary_key=True),
    sa.Column("metrics", Json, nullable=False),
    sqlite_with_rowid=False,
)

receipts = sa.Table(
    "receipts",  # by which a writer knows, after it lost its connection to a server, whether its last commit was one
    metadata,
    sa.Column("writer", sa.String(32), primary_key=True),
    sa.Column("number", sa.BigInteger, nullable=False),
)

VIEW = "nas_trials"
_TIMES = {"started_at": UtcDateTime, "ended_at": UtcDateTime}
view = sa.table(VIEW, *(sa.column(name, _TIMES.get(name)) for name in COLUMNS))
"""One line per trial, for people's own queries and for exports; documented in docs/store.md."""
