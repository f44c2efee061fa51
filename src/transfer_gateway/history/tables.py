"""The tables. Times are integers: milliseconds since 1970, UTC.

The revisions in `migrations/` lead here: a test compares. What is empty is made from these tables at once, which spares
the service Alembic's 13 MB.
"""

from __future__ import annotations

from enum import IntEnum

from sqlalchemy import (
    DDL,
    BigInteger,
    Column,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
    event,
    text,
)

HEAD = "0009"  # the latest revision; revisions are numbers, so that an older version knows a newer one
REVISION_TABLE = "history_revision"

_Id = BigInteger().with_variant(Integer, "sqlite")  # SQLite numbers only INTEGER keys by itself

OPEN = "state < 2"  # no end is recorded
FAILED = "state IN (1, 3) OR error_type IS NOT NULL"
GONE = "state = 4"

metadata = MetaData()


class State(IntEnum):
    """By the events, if they tell the end; else the later one of these and AWS's last answer. Numbers are stored."""

    IN_PROGRESS = 0
    HANDLING_EXCEPTION = 1
    COMPLETED = 2
    EXCEPTION = 3
    GONE = 4  # AWS has forgotten it, and how it ended is not recorded


# One row an execution. Its columns are what `record_of` tells of its events, for searching; what the events do not tell
# of the upload and the file is from AWS's answer. `observed`: AWS's last answer, JSON. `last_at`: of the last event or
# answer. For searching: `began_at` is the start, if it is known, else the first sign. `lasted_ms`: from then to the end
# or, without one, to the last sign. `state`: see `State`; `observed_state`: that of AWS's last answer.
# `answer_seq`: the number of the last change of AWS's answer, whose content has the digest: see `feed`.
executions = Table(
    "history_executions",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("account_id", Text, nullable=False),
    Column("region", Text, nullable=False),
    Column("workflow_id", Text, nullable=False),
    Column("execution_id", Text, nullable=False),
    Column("event_count", Integer, nullable=False),
    Column("last_at", BigInteger, nullable=False),
    Column("started_at", BigInteger),
    Column("ended_at", BigInteger),
    Column("status", Text),
    Column("user_name", Text),
    Column("server_id", Text),
    Column("session_id", Text),
    Column("file_location", Text),
    Column("error_type", Text),
    Column("error_message", Text),
    Column("observed", Text),
    Column("observed_first_at", BigInteger),
    Column("observed_last_at", BigInteger),
    Column("observed_state", SmallInteger),
    Column("answer_seq", BigInteger),
    Column("answer_digest", Text),
    Column("state", SmallInteger, nullable=False),
    Column("began_at", BigInteger, nullable=False),
    Column("lasted_ms", BigInteger, nullable=False),
    # Also finds an execution by AWS's id alone.
    UniqueConstraint("execution_id", "workflow_id", "account_id", "region", name="history_executions_key"),
    Index("history_executions_last_at", "last_at"),
    Index("history_executions_began_at", "began_at", postgresql_include=["id"]),
    Index("history_executions_target", "account_id", "region", "began_at"),
    Index("history_executions_lasted", "lasted_ms"),
    Index("history_executions_workflow", "workflow_id", "began_at"),
    Index("history_executions_server", "server_id", "began_at"),
    Index("history_executions_user", "user_name", "began_at"),
    Index("history_executions_session", "session_id", "began_at"),
    Index("history_executions_answer_seq", "answer_seq"),
    Index("history_executions_open", "last_at", sqlite_where=text(OPEN), postgresql_where=text(OPEN)),
    Index("history_executions_failed", "began_at", sqlite_where=text(FAILED), postgresql_where=text(FAILED)),
    Index("history_executions_gone", "began_at", sqlite_where=text(GONE), postgresql_where=text(GONE)),
)

# What `text` looks in, folded: see `texts`. An index of its trigrams is made where the database can: see `trigrams`.
texts = Table(
    "history_texts",
    metadata,
    Column("execution", _Id, primary_key=True, autoincrement=False),
    Column("ids", Text, nullable=False),
    Column("service", Text),
    Column("file", Text),
)

# One row an event; `body` is the rest of it, JSON. `seq` grows and is never used again. No foreign key: whoever writes
# events has locked their execution.
events = Table(
    "history_events",
    metadata,
    Column("seq", _Id, primary_key=True),
    Column("execution", BigInteger, nullable=False),
    Column("event_id", Text, nullable=False),
    Column("occurred_at", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
    UniqueConstraint("execution", "event_id", name="history_events_id"),
    sqlite_autoincrement=True,
)

# `GroupProgress`.
log_groups = Table(
    "history_log_groups",
    metadata,
    Column("account_id", Text, primary_key=True),
    Column("region", Text, primary_key=True),
    Column("group_name", Text, primary_key=True),
    Column("read_until", BigInteger, nullable=False),
    Column("complete_since", BigInteger, nullable=False),
    Column("backfill_until", BigInteger),
)

# `WorkflowLog`; an empty text is None there.
workflow_logs = Table(
    "history_workflow_logs",
    metadata,
    Column("account_id", Text, primary_key=True),
    Column("region", Text, primary_key=True),
    Column("workflow_id", Text, primary_key=True),
    Column("server_id", Text, primary_key=True),
    Column("group_name", Text, primary_key=True),
    Column("mechanism", Text),
    Column("last_seen_at", BigInteger, nullable=False),
)

# One row. Changes are numbered in the order in which they are committed: events by `seq`, AWS's answers by
# `answer_seq`. `deleted_…`: the highest number that retention has deleted, which is not used again; `missed_…`: the
# highest but for what had been older than the history when it was stored. `identity` tells databases apart;
# `secret` signs cursors, which so are good for every replica and after a restart.
feed = Table(
    "history_feed",
    metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False),
    Column("identity", Text, nullable=False),
    Column("secret", Text, nullable=False),
    Column("deleted_seq", BigInteger, nullable=False),
    Column("deleted_answer_seq", BigInteger, nullable=False),
    Column("missed_seq", BigInteger, nullable=False),
    Column("missed_answer_seq", BigInteger, nullable=False),
)

# The replicas that share the history. One whose `beats` no longer grow is gone. `note`: what it tells the others: JSON.
replicas = Table(
    "history_replicas",
    metadata,
    Column("id", Text, primary_key=True),
    Column("beats", BigInteger, nullable=False),
    Column("note", Text),
)

# What the replica that follows a target knows of its logs: JSON, see `follower_state`. `seq` grows with each change.
followed = Table(
    "history_followed",
    metadata,
    Column("account_id", Text, primary_key=True),
    Column("region", Text, primary_key=True),
    Column("replica", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("sources", Text),
    Column("seq", BigInteger, nullable=False),
    Index("history_followed_seq", "seq"),
)

# Targets that somebody watches, on whichever replica.
watched = Table(
    "history_watched",
    metadata,
    Column("account_id", Text, primary_key=True),
    Column("region", Text, primary_key=True),
    Column("until", BigInteger, nullable=False),
)

# AWS's last answers about executions that are asked for again and again, and, with an empty `execution_id`, its lists
# of what a workflow has in progress. `body` null: it has no such execution, or workflow. `sent_at`: when it was asked.
# `claimed_until`: a replica asks AWS, and others wait. A crash may empty it.
snapshots = Table(
    "history_snapshots",
    metadata,
    Column("execution_id", Text, primary_key=True),
    Column("workflow_id", Text, primary_key=True),
    Column("account_id", Text, primary_key=True),
    Column("region", Text, primary_key=True),
    Column("sent_at", BigInteger, nullable=False),
    Column("body", Text),
    Column("claimed_until", BigInteger, nullable=False),
)
event.listen(
    snapshots,
    "after_create",
    DDL("ALTER TABLE history_snapshots SET UNLOGGED").execute_if(dialect="postgresql"),  # type: ignore[no-untyped-call]
)

# One row, once something has been deleted: executions whose last event is older may be missing.
retention = Table(
    "history_retention",
    metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False),
    Column("kept_since", BigInteger, nullable=False),
)

revision = Table(
    REVISION_TABLE, MetaData(), Column("version_num", String(32), primary_key=True)
)  # Alembic's own, so not among the others
