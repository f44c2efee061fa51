"""Random delays before retries and renewals, so that many clients don't act at the same time."""

from __future__ import annotations

import random
from dataclasses import dataclass

_MAX_DOUBLINGS = 20


def jittered(wait_s: float, low: float = 0.8, high: float = 1.2) -> float:
    """`wait_s` times a random factor from `low` to `high`."""
    return wait_s * random.uniform(low, high)  # noqa: S311  not security-relevant


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential backoff with jitter: doubles from `first_s` to `max_s`, times a random factor."""

    first_s: float
    max_s: float
    jitter: tuple[float, float] = (0.8, 1.2)

    def after(self, failures: int) -> float:
        """Seconds to wait after that many consecutive failures, 1 or more."""
        return jittered(
            min(self.max_s, self.first_s * 2.0 ** min(failures - 1, _MAX_DOUBLINGS)), *self.jitter
        )
