"""Counts calls by service, operation, account and region."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Call:
    """The attributes that calls are counted and matched by.

    `account_id`: the account called (for AssumeRole: the role's); "" if authentication failed.
    """

    service: str
    operation: str
    account_id: str
    region: str


class Calls:
    """Counts calls as they arrive, whatever their outcome."""

    def __init__(self) -> None:
        self._counts: Counter[Call] = Counter()
        self.in_flight = 0
        self.max_in_flight = 0
        self.connections = 0

    def add(self, call: Call) -> None:
        self._counts[call] += 1

    def count(
        self,
        *,
        operation: str | None = None,
        account_id: str | None = None,
        region: str | None = None,
        service: str | None = None,
    ) -> int:
        """The number of matching calls; None matches any."""
        wanted = (service, operation, account_id, region)
        return sum(
            count
            for call, count in self._counts.items()
            if all(want in {None, value} for want, value in zip(wanted, _fields(call), strict=True))
        )

    def reset(self) -> None:
        """Reset all counts except `in_flight`."""
        self._counts.clear()
        self.max_in_flight = self.in_flight
        self.connections = 0

    def by_call(self) -> dict[Call, int]:
        return dict(self._counts)

    @contextmanager
    def track(self) -> Iterator[None]:
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)
        try:
            yield
        finally:
            self.in_flight -= 1


def _fields(call: Call) -> tuple[str, str, str, str]:
    return call.service, call.operation, call.account_id, call.region
