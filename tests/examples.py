"""How many examples a test of Hypothesis takes: a quarter in `uv run pytest`, all of them in `.ci/run fuzz`."""

from __future__ import annotations

import hypothesis
from hypothesis import HealthCheck

DEFAULT = 100
EXPLORING, THOROUGH, STEADY = "exploring", "thorough", "steady"
_SHARE = 4


def register_profiles() -> None:
    """The same examples in each run, so that a run fails for what has changed and not by chance.

    `--hypothesis-profile=exploring` draws others. None has a deadline: on a busy machine one may take long.
    """
    settings = hypothesis.settings
    settings.register_profile(
        EXPLORING,
        deadline=None,
        max_examples=DEFAULT,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    )
    settings.register_profile(THOROUGH, settings.get_profile(EXPLORING), derandomize=True)
    settings.register_profile(STEADY, settings.get_profile(THOROUGH), max_examples=DEFAULT // _SHARE)
    settings.load_profile(STEADY)


def examples(number: int) -> int:
    """`number` or, in `uv run pytest`, a quarter of it."""
    profile = hypothesis.settings.get_profile(hypothesis.settings.get_current_profile_name())
    return max(1, number * profile.max_examples // DEFAULT)
