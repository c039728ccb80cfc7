"""Networks compressed, latencies by other models, reused outcomes, and a view for people's own queries."""

import zlib

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_CHUNK = 10_000  # networks in memory at once

_VIEW = """
CREATE VIEW nas_trials AS
SELECT t.id AS trial, s.name AS study, t.number, t.state, t.accuracy, t.latency_ms, t.target, t.latency_version,
    a.macs, a.params, a.peak_activation_bytes, t.architecture_id AS architecture, t.epochs, t.seed, t.parent,
    t.source_id AS source, t.lost, t.error, t.started_at, t.ended_at, t.host
FROM trials t JOIN studies s ON s.id = t.study_id JOIN architectures a ON a.id = t.architecture_id
"""


def upgrade() -> None:
    # Plain statements: alembic's batch mode would copy the tables, and lose the index of the front with them.
    for column in ("fidelity TEXT", "basis TEXT", "fork_of TEXT", "inherited INTEGER NOT NULL DEFAULT 0"):
        op.execute(f"ALTER TABLE studies ADD COLUMN {column}")
    op.execute("ALTER TABLE trials ADD COLUMN source_id INTEGER REFERENCES trials (id)")
    op.create_table(
        "latencies",
        sa.Column("architecture_id", sa.String(16), sa.ForeignKey("architectures.id"), primary_key=True),
        sa.Column("target", sa.Text, primary_key=True),
        sa.Column("latency_version", sa.Text, primary_key=True),
        sa.Column("latency_ms", sa.Float, nullable=False),
        sqlite_with_rowid=False,
    )
    _compress_networks()
    op.execute(_VIEW)


def _compress_networks() -> None:
    connection = op.get_bind()
    kind = "BYTEA" if connection.dialect.name == "postgresql" else "BLOB"
    op.execute(f"ALTER TABLE architectures ADD COLUMN network {kind} NOT NULL DEFAULT ''")
    old = sa.table("architectures", sa.column("id"), sa.column("json"), sa.column("network", sa.LargeBinary))
    fill = sa.update(old).where(old.c.id == sa.bindparam("key")).values(network=sa.bindparam("packed"))
    last = ""
    while True:
        query = sa.select(old.c.id, old.c.json).where(old.c.id > last).order_by(old.c.id).limit(_CHUNK)
        found = connection.execute(query).all()
        if not found:
            break
        connection.execute(fill, [{"key": key, "packed": zlib.compress(text.encode())} for key, text in found])
        last = found[-1].id
    op.execute("ALTER TABLE architectures DROP COLUMN json")


def downgrade() -> None:
    raise NotImplementedError("restore a copy that was made before the upgrade")
