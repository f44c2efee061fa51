"""How often the emulator was called, by whom and for what."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Call:
    """What a call is counted and matched by.

    The account is the one called into (for AssumeRole: the role's); "" where nobody was authenticated.
    """

    service: str
    operation: str
    account_id: str
    region: str


class Calls:
    """Counts calls as they arrive, whatever becomes of them."""

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
        """How many calls match; None matches any."""
        wanted = (service, operation, account_id, region)
        return sum(
            count
            for call, count in self._counts.items()
            if all(want in {None, had} for want, had in zip(wanted, _fields(call), strict=True))
        )

    def reset(self) -> None:
        """Count from zero; what is in flight stays so."""
        self._counts.clear()
        self.max_in_flight = self.in_flight
        self.connections = 0

    def by_call(self) -> dict[Call, int]:
        return dict(self._counts)

    @contextmanager
    def flight(self) -> Iterator[None]:
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)
        try:
            yield
        finally:
            self.in_flight -= 1


def _fields(call: Call) -> tuple[str, str, str, str]:
    return call.service, call.operation, call.account_id, call.region
