"""What a search asks for, as conditions in SQL. What the caller may see is part of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.sql.operators import custom_op

from transfer_gateway.domain.errors import BadUserInput
from transfer_gateway.domain.execution import ExecutionStatus
from transfer_gateway.domain.identity import Target
from transfer_gateway.history.codec import dump, short, to_ms
from transfer_gateway.history.tables import State, executions, texts
from transfer_gateway.history.texts import fold
from transfer_gateway.history.trigrams import Trigrams

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import datetime

    from sqlalchemy.sql.elements import ColumnElement

    from transfer_gateway.domain.search import SearchFilter
    from transfer_gateway.history.values import SearchGroup, SearchScope, TargetBlock

    Condition = ColumnElement[bool]

LONGEST_MS = 2_400_000  # of an execution without a sign of it: a custom step may take 30 minutes
ENDED = frozenset({ExecutionStatus.COMPLETED, ExecutionStatus.EXCEPTION})
FAILED = frozenset({ExecutionStatus.HANDLING_EXCEPTION, ExecutionStatus.EXCEPTION})
_PLUS: custom_op[Any] = custom_op("+")
_FAR_MS = 2**52
# Each has an index. The rarest first, for the one that is used.
_NAMES = {
    "session_id": "session_ids",
    "user_name": "user_names",
    "server_id": "server_ids",
    "workflow_id": "workflow_ids",
}


@dataclass(frozen=True, slots=True)
class Sql:
    """How the two databases differ."""

    is_postgresql: bool

    @property
    def dialect(self) -> str:
        return "postgresql" if self.is_postgresql else "sqlite"

    def is_one_of(self, column: ColumnElement[Any], values: Iterable[str]) -> Condition:
        """Of however many: they are one parameter, which the database hashes once."""
        if self.is_postgresql:
            return column == sa.func.any(sa.literal(list(values), postgresql.ARRAY(sa.Text)))
        each = sa.func.json_each(sa.literal(dump(list(values)), sa.Text)).table_valued("value")
        return column.in_(sa.select(each.c.value))

    def is_among(self, column: ColumnElement[Any], joined: str) -> Condition:
        """As `is_one_of`, of words."""
        if self.is_postgresql:
            return column == sa.func.any(sa.func.string_to_array(sa.literal(joined, sa.Text), " "))
        words = '["' + joined.replace(" ", '","') + '"]'
        each = sa.func.json_each(sa.literal(words, sa.Text)).table_valued("value")
        return column.in_(sa.select(each.c.value))

    def unindexed(self, column: ColumnElement[Any]) -> ColumnElement[Any]:
        """SQLite, which has no statistics, would read all of many targets by their index, and sort them."""
        if self.is_postgresql:
            return column
        return sa.UnaryExpression(column, operator=_PLUS, type_=column.type)

    def contains(self, column: ColumnElement[Any], folded: str) -> Condition:
        """Not by LIKE, for which PostgreSQL would read its index of trigrams wherever it can."""
        position = sa.func.strpos if self.is_postgresql else sa.func.instr
        return position(column, sa.literal(folded, sa.Text)) > 0


@dataclass(frozen=True, slots=True)
class Tables:
    """The two tables, or aliases of them."""

    executions: sa.FromClause = executions
    texts: sa.FromClause = texts


TABLES = Tables()


class Filter:
    """`groups`: those in which something may match: nothing is found by what is hidden.

    `needs_texts`: the conditions look into the table of texts, too.
    """

    def __init__(self, sql: Sql, scope: SearchScope, wanted: SearchFilter, as_of_ms: int) -> None:
        self._sql, self._as_of_ms = sql, as_of_ms
        self.wanted = wanted
        self.needs_texts = wanted.text is not None or wanted.file_name is not None
        by_service = bool(wanted.user_names or wanted.server_ids or wanted.session_ids)
        self.groups = [
            group
            for group in scope.groups
            if not (group.hides_service and by_service)
            and not (group.hides_file and wanted.file_name is not None)
        ]

    @property
    def only_running(self) -> bool:
        return self.wanted.running is True or bool(
            self.wanted.statuses and not ENDED.intersection(self.wanted.statuses)
        )

    @property
    def only_failed(self) -> bool:
        return bool(
            self.wanted.error_types or (self.wanted.statuses and FAILED.issuperset(self.wanted.statuses))
        )

    def trigrams(self) -> Trigrams:
        text, file = self.wanted.text, self.wanted.file_name
        return Trigrams(None if text is None else fold(text), None if file is None else fold(file))

    @property
    def names(self) -> tuple[str, list[str]] | None:
        """The column of names that are wanted, and these: of those that are given, the one that finds least."""
        for column, field in _NAMES.items():
            if wanted := getattr(self.wanted, field):
                return column, [short(each) or "" for each in wanted]
        return None

    def targets(self, at_most: int) -> list[tuple[Target, SearchGroup]] | None:
        """Those in which something may match; None: there are more."""
        found: list[tuple[Target, SearchGroup]] = []
        for target in self._targets():
            if len(found) == at_most:
                return None
            found.append(target)
        return found

    def _targets(self) -> Iterator[tuple[Target, SearchGroup]]:
        wanted = self.wanted
        for group in self.groups:
            for account_id in wanted.account_ids or group.regions_of:
                for region in group.regions_of.get(account_id, ()):
                    if not wanted.regions or region in wanted.regions:
                        yield Target(account_id, region), group

    @property
    def of_file_alone(self) -> Condition | None:
        """What the texts must contain, if that is the same for all that the caller may see."""
        if self.wanted.file_name is None or self.wanted.text is not None:
            return None
        return self._sql.contains(texts.c.file, fold(self.wanted.file_name))

    @property
    def of_any_text(self) -> list[Condition]:
        """What the texts must contain at least, whatever the caller may see of them."""
        wanted, columns, conditions = self.wanted, texts.c, []
        if wanted.file_name is not None:
            conditions.append(self._sql.contains(columns.file, fold(wanted.file_name)))
        if wanted.text is not None:
            pattern = fold(wanted.text)
            conditions.append(
                sa.or_(
                    *(self._sql.contains(it, pattern) for it in (columns.ids, columns.service, columns.file))
                )
            )
        return conditions

    def conditions(self, tables: Tables = TABLES, *, of_texts: bool = True) -> list[Condition]:
        """All of them, with what the caller may see. Raises: BadUserInput for a duration that is not a number."""
        groups = (self._of_group(group, tables, of_texts=of_texts) for group in self.groups)
        return [*self.of_execution(tables), sa.or_(sa.false(), *groups)]

    def of_execution(self, tables: Tables) -> list[Condition]:
        """Without what depends on the caller. Raises: as `conditions`."""
        wanted, columns = self.wanted, tables.executions.c
        named = (
            ("account_id", wanted.account_ids),
            ("region", wanted.regions),
            ("workflow_id", wanted.workflow_ids),
            ("execution_id", wanted.execution_ids),
            ("server_id", wanted.server_ids),
            ("user_name", wanted.user_names),
            ("session_id", wanted.session_ids),
            ("error_type", wanted.error_types),
        )
        conditions = [
            self._sql.is_one_of(
                columns[name] if name == "execution_id" else self._sql.unindexed(columns[name]),
                [short(value) or "" for value in values],
            )
            for name, values in named
            if values
        ]
        conditions += self._times(columns)
        if self.only_running:
            conditions += is_running(columns, self._as_of_ms)
        if wanted.running is False:
            conditions.append(sa.not_(sa.and_(*is_running(columns, self._as_of_ms))))
        if wanted.result_unknown is not None:
            is_unknown = sa.or_(*(sa.and_(*each) for each in are_unknown(columns, self._as_of_ms)))
            conditions.append(is_unknown if wanted.result_unknown else sa.not_(is_unknown))
        if wanted.statuses:
            conditions.append(sa.or_(sa.false(), *self._statuses(columns)))
        if self.only_failed:
            conditions.append(is_failed(columns))
        return conditions

    def _times(self, columns: sa.ColumnCollection[str, Any]) -> list[Condition]:
        wanted = self.wanted
        bounds: list[tuple[ColumnElement[Any], int | None, int | None]] = [
            (columns.began_at, _from_ms(wanted.started_after), _until_ms(wanted.started_before)),
            (columns.ended_at, _from_ms(wanted.ended_after), _until_ms(wanted.ended_before)),
            (
                duration_ms(columns, self._as_of_ms),
                _duration_ms(wanted.min_duration_s, "minDurationS", math.ceil),
                _duration_ms(wanted.max_duration_s, "maxDurationS", math.floor),
            ),
        ]
        conditions = [column >= big(least) for column, least, _ in bounds if least is not None]
        return conditions + [column <= big(most) for column, _, most in bounds if most is not None]

    def _statuses(self, columns: sa.ColumnCollection[str, Any]) -> list[Condition]:
        conditions: list[Condition] = []
        for status in self.wanted.statuses:
            if status is ExecutionStatus.UNRECOGNIZED:
                continue
            has_it = columns.state == sa.literal_column(str(int(State[status.name])))
            conditions.append(
                has_it if status in ENDED else sa.and_(*is_running(columns, self._as_of_ms), has_it)
            )
        return conditions

    def _of_group(self, group: SearchGroup, tables: Tables, *, of_texts: bool) -> Condition:
        blocks = (self._in_block(block, tables) for block in group.blocks)
        return sa.and_(sa.or_(sa.false(), *blocks), *(self.of_texts(group, tables) if of_texts else ()))

    def of_texts(self, group: SearchGroup, tables: Tables) -> list[Condition]:
        """What the texts that are visible in a group must contain."""
        wanted, columns = self.wanted, tables.texts.c
        conditions: list[Condition] = []
        if wanted.file_name is not None:
            conditions.append(self._sql.contains(columns.file, fold(wanted.file_name)))
        if wanted.text is not None:
            visible = [
                columns.ids,
                *(() if group.hides_service else (columns.service,)),
                *(() if group.hides_file else (columns.file,)),
            ]
            pattern = fold(wanted.text)
            conditions.append(sa.or_(*(self._sql.contains(column, pattern) for column in visible)))
        return conditions

    def _in_block(self, block: TargetBlock, tables: Tables) -> Condition:
        columns = tables.executions.c
        return sa.and_(
            self._sql.is_among(self._sql.unindexed(columns.account_id), block.accounts),
            self._sql.is_among(self._sql.unindexed(columns.region), block.regions),
        )


def is_running(columns: sa.ColumnCollection[str, Any], as_of_ms: int) -> list[Condition]:
    """No end is recorded, and there was a sign of it lately."""
    return [columns.state < sa.literal_column("2"), columns.last_at >= big(as_of_ms - LONGEST_MS)]


def are_unknown(columns: sa.ColumnCollection[str, Any], as_of_ms: int) -> list[list[Condition]]:
    """The two kinds of those that have ended with no record of how, each with an index of its own."""
    return [
        [columns.state == sa.literal_column("4")],
        [columns.state < sa.literal_column("2"), columns.last_at < big(as_of_ms - LONGEST_MS)],
    ]


def is_failed(columns: sa.ColumnCollection[str, Any]) -> Condition:
    """As the index has it, word by word."""
    return sa.or_(
        columns.state.in_([sa.literal_column("1"), sa.literal_column("3")]), columns.error_type.is_not(None)
    )


def has_lasted(columns: sa.ColumnCollection[str, Any], as_of_ms: int) -> Condition:
    """It did not run at that time: its duration is the column's."""
    return sa.not_(
        sa.or_(sa.and_(*is_running(columns, as_of_ms)), sa.func.coalesce(columns.ended_at, 0) > big(as_of_ms))
    )


def duration_ms(columns: sa.ColumnCollection[str, Any], as_of_ms: int) -> ColumnElement[int]:
    """Until `as_of`, while it ran then. If its end is not recorded: until the last sign of it."""
    return sa.case((has_lasted(columns, as_of_ms), columns.lasted_ms), else_=big(as_of_ms) - columns.began_at)


def big(value: int) -> ColumnElement[int]:
    return sa.literal(value, sa.BigInteger)


def _from_ms(time: datetime | None) -> int | None:
    """Rounded up, as a bound is included."""
    return None if time is None else to_ms(time) + (time.microsecond % 1000 > 0)


def _until_ms(time: datetime | None) -> int | None:
    return None if time is None else to_ms(time)


def _duration_ms(seconds: float | None, field: str, rounded: Callable[[float], int]) -> int | None:
    if seconds is None:
        return None
    if math.isnan(seconds):
        raise BadUserInput.of(field, "must be a number.")
    return rounded(max(-_FAR_MS, min(_FAR_MS, seconds * 1000)))
