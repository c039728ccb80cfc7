"""Studies, architectures, trials and epochs."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "studies",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.Text, nullable=False, unique=True),
        sa.Column("settings", sa.Text, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("owner", sa.Text),
        sa.Column("owner_since", sa.DateTime(timezone=True)),
        sa.Column("lease_until", sa.DateTime(timezone=True)),
    )
    op.create_table(
        "architectures",
        sa.Column("id", sa.String(16), primary_key=True),
        sa.Column("json", sa.Text, nullable=False),
        sa.Column("params", sa.BigInteger, nullable=False),
        sa.Column("macs", sa.BigInteger, nullable=False),
        sa.Column("peak_activation_bytes", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "trials",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("study_id", sa.Integer, sa.ForeignKey("studies.id"), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("architecture_id", sa.String(16), sa.ForeignKey("architectures.id"), nullable=False),
        sa.Column("state", sa.String(8), nullable=False),
        sa.Column("accuracy", sa.Float),
        sa.Column("latency_ms", sa.Float),
        sa.Column("target", sa.Text),
        sa.Column("latency_version", sa.Text),
        sa.Column("epochs", sa.Integer),
        sa.Column("parent", sa.Integer),
        sa.Column("asked_after", sa.Integer, nullable=False),
        sa.Column("told", sa.Integer),
        sa.Column("seed", sa.BigInteger, nullable=False),
        sa.Column("lost", sa.Integer, nullable=False),
        sa.Column("metrics", sa.Text),
        sa.Column("error", sa.Text),
        sa.Column("stopped", sa.Boolean),
        sa.Column("started_at", sa.DateTime(timezone=True)),
        sa.Column("ended_at", sa.DateTime(timezone=True)),
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("pid", sa.Integer, nullable=False),
        sa.Column("versions", sa.Text, nullable=False),
        sa.UniqueConstraint("study_id", "number", name="uq_trials_number"),
    )
    op.create_index("ix_trials_state", "trials", ["study_id", "state"])
    op.create_index("ix_trials_architecture", "trials", ["architecture_id"])
    op.create_index(
        "ix_trials_front",
        "trials",
        [sa.text("accuracy DESC"), "latency_ms", "id", "study_id", "target", "state"],
        sqlite_where=sa.text("state = 'complete'"),
        postgresql_where=sa.text("state = 'complete'"),
    )
    op.create_table(
        "epochs",
        sa.Column("trial_id", sa.Integer, sa.ForeignKey("trials.id"), primary_key=True),
        sa.Column("epoch", sa.Integer, primary_key=True),
        sa.Column("metrics", sa.Text, nullable=False),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    for table in ("epochs", "trials", "architectures", "studies"):
        op.drop_table(table)
