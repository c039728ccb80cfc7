"""The view says who judged a network: of a prediction, too, the accuracy stands in `accuracy`."""

from alembic import op

revision = "0004"
down_revision = "0003"

_VIEW = """
CREATE VIEW nas_trials AS
SELECT t.id AS trial, s.name AS study, t.number, t.state, t.accuracy, t.latency_ms, t.target, t.latency_version,
    a.macs, a.params, a.peak_activation_bytes, t.architecture_id AS architecture, t.epochs, t.seed, t.parent,
    t.source_id AS source, t.lost, t.error, t.started_at, t.ended_at, t.host,
    COALESCE({evaluator}, 'proxy') AS evaluator
FROM trials t JOIN studies s ON s.id = t.study_id JOIN architectures a ON a.id = t.architecture_id
"""
_EVALUATOR = {
    "postgresql": "CAST(t.versions AS json) ->> 'evaluator'",
    "sqlite": "json_extract(t.versions, '$.evaluator')",
}


def upgrade() -> None:
    op.execute("DROP VIEW nas_trials")
    op.execute(_VIEW.format(evaluator=_EVALUATOR[op.get_bind().dialect.name]))


def downgrade() -> None:
    raise NotImplementedError("restore a copy that was made before the upgrade")
