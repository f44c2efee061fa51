"""What the statements are made of, for one of the two databases."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

if TYPE_CHECKING:
    from sqlalchemy.sql.elements import ColumnElement

    Insert = postgresql.Insert | sqlite.Insert


class Parts:
    def __init__(self, dialect: str) -> None:
        self.dialect = dialect
        self.is_postgresql = dialect == "postgresql"

    def rows(self, *columns: sa.Column[Any]) -> sa.FromClause:
        """The JSON array as a table, which has the types of these columns."""
        rows = sa.bindparam("rows", type_=sa.Text)
        if self.is_postgresql:
            typed: list[Any] = [sa.column(column.name, column.type) for column in columns]
            of_json = sa.func.json_to_recordset(sa.cast(rows, postgresql.JSON))
            return of_json.table_valued(*typed, name="given").render_derived(with_types=True)
        each = sa.func.json_each(rows).table_valued("value", name="each")
        return (
            sa.select(
                *(
                    sa.func.json_extract(each.c.value, f"$.{column.name}", type_=column.type).label(
                        column.name
                    )
                    for column in columns
                )
            )
            .select_from(each)
            .subquery("given")
        )

    def is_one_of(self, column: sa.Column[Any]) -> ColumnElement[bool]:
        if self.is_postgresql:
            ids = sa.bindparam("ids", type_=postgresql.ARRAY(column.type))
            return column == sa.func.any(ids)
        each = sa.func.json_each(sa.bindparam("ids", type_=sa.Text)).table_valued("value", name="each")
        return column.in_(sa.select(each.c.value))

    def insert(
        self, table: sa.Table, given: sa.FromClause | None = None, **further: ColumnElement[Any]
    ) -> Insert:
        insert = (postgresql.insert if self.is_postgresql else sqlite.insert)(table)
        if given is None:
            return insert
        rows = sa.select(*given.c, *further.values()).where(
            sa.text("1 = 1")
        )  # without it, SQLite takes ON CONFLICT for a join's
        return insert.from_select([*given.c.keys(), *further], rows)

    def greatest(self, one: ColumnElement[Any], other: ColumnElement[Any]) -> ColumnElement[Any]:
        """The greater of two; of one and NULL, the one."""
        greatest = sa.func.greatest if self.is_postgresql else sa.func.max
        return greatest(sa.func.coalesce(one, other), sa.func.coalesce(other, one))

    def least(self, one: ColumnElement[Any], other: ColumnElement[Any]) -> ColumnElement[Any]:
        least = sa.func.least if self.is_postgresql else sa.func.min
        return least(sa.func.coalesce(one, other), sa.func.coalesce(other, one))

    def take_turn(self, lock: int, *then: ColumnElement[Any]) -> sa.Executable | None:
        """Wait for other transactions that number the same. SQLite has one writer anyway."""
        if not self.is_postgresql:
            return None
        return sa.select(sa.func.pg_advisory_xact_lock(sa.literal_column(str(lock))), *then)
