"""An index of the texts' trigrams, which finds any part of three characters or more. Optional: databases may lack it.

PostgreSQL has it if its extension pg_trgm is there and may be created; SQLite if Python's was built with FTS5. Without
it, searches read more rows. The index is made by a later migration as soon as it can be.

PostgreSQL has a second one of the files alone: most trigrams of a name are rare there, but not among those of all ids.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from transfer_gateway.history.tables import texts
from transfer_gateway.telemetry import get_logger

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.ext.asyncio import AsyncConnection
    from sqlalchemy.sql.elements import ColumnElement

_log = get_logger(__name__)
_INDEX, _FILE_INDEX = "history_texts_trigrams", "history_texts_file_trigrams"
_LENGTH = 3
_MAX_TRIGRAMS = 12  # of a pattern; more hardly make it rarer
_ALL = "coalesce({0}file, '') || {1} || coalesce({0}service, '') || {1} || {0}ids"
_NEW, _OLD = _ALL.format("new.", "char(10)"), _ALL.format("old.", "char(10)")
_DELETE = f"INSERT INTO {_INDEX} ({_INDEX}, rowid, text) VALUES ('delete', old.execution, {_OLD});"  # noqa: S608  no input
_INSERT = f"INSERT INTO {_INDEX} (rowid, text) VALUES (new.execution, {_NEW});"  # noqa: S608  as above
_TRIGGERS = {
    "added": ("INSERT", _INSERT),
    "deleted": ("DELETE", _DELETE),
    "changed": ("UPDATE", _DELETE + _INSERT),
}
_FIRST_FTS5 = (3, 34)  # with trigrams
_RARE = 0.02  # of all rows; PostgreSQL estimates by a hundred of them
_WORD, _MAX_WORDS = re.compile(r"[^\W_]+"), 8

HAS_INDEX = {
    "postgresql": f"SELECT num_nulls(to_regclass('{_INDEX}'), to_regclass('{_FILE_INDEX}')) = 0",
    "sqlite": f"SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE name = '{_INDEX}_changed')",  # noqa: S608  as above
}


def ensure(connection: Connection) -> None:
    """Make the index if it is missing and the database can."""
    if connection.scalar(sa.text(HAS_INDEX[connection.dialect.name])):
        if connection.dialect.name == "sqlite" and not _sqlite_can(connection):
            _leave(connection)
        return
    if connection.dialect.name == "sqlite":
        if _sqlite_can(connection):
            _make_in_sqlite(connection)
        else:
            _log.warning(
                "history_without_trigrams", effect="searches by text are slower", reason="SQLite has no FTS5"
            )
        return
    try:
        with connection.begin_nested():
            connection.execute(sa.text("CREATE EXTENSION IF NOT EXISTS pg_trgm"))
            for index, of in ((_INDEX, f"({_ALL.format('', _NEWLINE)})"), (_FILE_INDEX, "file")):
                # A short list of what is not in the index yet: each search reads it.
                connection.execute(
                    sa.text(
                        f"CREATE INDEX IF NOT EXISTS {index} ON history_texts USING gin "
                        f"({of} gin_trgm_ops) WITH (gin_pending_list_limit = 1024)"
                    )
                )
    except DBAPIError as error:
        _log.warning(
            "history_without_trigrams",
            effect="searches by text are slower",
            reason=f"the extension pg_trgm is missing and can't be created: {error.orig}",
        )


_NEWLINE = r"E'\n'"


def _sqlite_can(connection: Connection) -> bool:
    has_module = connection.scalar(
        sa.text("SELECT EXISTS (SELECT 1 FROM pragma_module_list WHERE name = 'fts5')")
    )
    version = connection.dialect.dbapi.sqlite_version_info if connection.dialect.dbapi else (0,)
    return bool(has_module) and version >= _FIRST_FTS5


def _leave(connection: Connection) -> None:
    """Another Python has made it, and this one can't write it: the next one that can makes it anew."""
    for name in _TRIGGERS:
        connection.execute(sa.text(f"DROP TRIGGER IF EXISTS {_INDEX}_{name}"))


def _make_in_sqlite(connection: Connection) -> None:
    connection.execute(sa.text(f"DROP TABLE IF EXISTS {_INDEX}"))
    # Neither texts nor places of trigrams are kept: who searches looks at the text anyway.
    connection.execute(
        sa.text(
            f"CREATE VIRTUAL TABLE {_INDEX} USING fts5"
            "(text, content = '', detail = 'none', columnsize = 0, tokenize = 'trigram case_sensitive 1')"
        )
    )
    connection.execute(
        sa.text(
            f"INSERT INTO {_INDEX} (rowid, text) SELECT execution, {_ALL.format('', 'char(10)')} FROM history_texts"  # noqa: S608  no input
        )
    )
    for name, (when, statements) in _TRIGGERS.items():
        connection.execute(
            sa.text(f"CREATE TRIGGER {_INDEX}_{name} AFTER {when} ON history_texts BEGIN {statements} END")
        )


class Trigrams:
    """What the texts must contain, folded: `text` one of them, `file` the file's. May be true of others, too.

    `is_narrowed`: of the file's name, this is a part.
    """

    def __init__(self, text: str | None, file: str | None, *, is_narrowed: bool = False) -> None:
        self.is_narrowed = is_narrowed
        self._text = text if text is not None and _has_trigram(text) else None
        self._file = file if file is not None and _has_trigram(file) else None

    def __bool__(self) -> bool:
        """Whether the index helps."""
        return self._text is not None or self._file is not None

    async def narrowed(self, connection: AsyncConnection) -> Trigrams:
        """With the rarest word of the file's name alone, if it is rare by PostgreSQL's statistics.

        To look for a name's frequent trigrams, too, takes ten times as long, and leaves out hardly any more.
        """
        words = [] if self._file is None else _words(self._file)[:_MAX_WORDS]
        if len(words) < 2 or connection.dialect.name != "postgresql":  # noqa: PLR2004  nothing to choose from
            return self
        patterns = {f"word_{at}": f"%{_escaped(word)}%" for at, word in enumerate(words)}
        rows_of = ["SELECT 1 FROM history_texts"]
        rows_of += [f"{rows_of[0]} WHERE file LIKE :{name}" for name in patterns]
        estimate = sa.text(f"EXPLAIN (FORMAT JSON) {' UNION ALL '.join(rows_of)}")
        found: Any = await connection.scalar(estimate, patterns)
        total, *rows = (plan["Plan Rows"] for plan in found[0]["Plan"]["Plans"])
        least, _, rarest = min((number, -len(word), word) for number, word in zip(rows, words, strict=True))
        return Trigrams(self._text, rarest, is_narrowed=True) if least <= total * _RARE else self

    def executions(self, dialect: str) -> sa.Select[tuple[int]]:
        """Their ids, of the newest first if that is free."""
        if dialect == "postgresql":
            everything: ColumnElement[str] = sa.literal_column(
                f"({_ALL.format('history_texts.', _NEWLINE)})", sa.Text
            )
            wanted = ((everything, self._text), (texts.c.file, self._file))
            return sa.select(texts.c.execution).where(
                *(_contains(column, folded) for column, folded in wanted if folded is not None)
            )
        index = sa.table(_INDEX, sa.column("rowid", sa.Integer))
        match = " AND ".join(_match(each) for each in (self._text, self._file) if each is not None)
        return (
            sa.select(index.c.rowid)
            .where(sa.literal_column(_INDEX).op("MATCH")(sa.literal(match, sa.Text)))
            .order_by(index.c.rowid.desc())
        )


def _contains(column: ColumnElement[str], folded: str) -> ColumnElement[bool]:
    return column.like(sa.literal(f"%{_escaped(folded)}%", sa.Text))


def _escaped(folded: str) -> str:
    """For LIKE, without a character that has a meaning of its own."""
    return folded.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _has_trigram(folded: str) -> bool:
    """In both databases: PostgreSQL's are of letters and digits."""
    run = 0
    for character in folded:
        run = run + 1 if character.isalnum() else 0
        if run == _LENGTH:
            return True
    return False


def _words(folded: str) -> list[str]:
    """Those with a trigram, each with a character before and after: the index knows where words begin and end."""
    return [
        folded[max(0, found.start() - 1) : found.end() + 1]
        for found in _WORD.finditer(folded)
        if found.end() - found.start() >= _LENGTH
    ]


def _match(folded: str) -> str:
    count = len(folded) - _LENGTH + 1
    places = sorted({round(at * (count - 1) / _MAX_TRIGRAMS) for at in range(_MAX_TRIGRAMS + 1)})
    return " AND ".join('"' + folded[at : at + _LENGTH].replace('"', '""') + '"' for at in places)
