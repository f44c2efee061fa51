"""Rate limits, as AWS counts them."""

import time
from dataclasses import dataclass, field


@dataclass(slots=True)
class TokenBucket:
    """A token bucket of one second's calls (at least one call, if the rate is not zero)."""

    rate_per_s: float
    tokens: float = field(init=False)
    filled_at: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.tokens = self._size()

    def take(self) -> bool:
        now = time.monotonic()
        self.tokens = min(self._size(), self.tokens + (now - self.filled_at) * self.rate_per_s)
        self.filled_at = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True

    def _size(self) -> float:
        return max(1.0, self.rate_per_s) if self.rate_per_s else 0.0
