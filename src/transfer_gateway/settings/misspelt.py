"""Finds variables that look like settings but are not: a misspelt one would be ignored silently."""

from __future__ import annotations

import os
import re
from difflib import get_close_matches
from typing import TYPE_CHECKING

from transfer_gateway.settings.environment import Settings
from transfer_gateway.settings.groups.group import ENV_PREFIX

if TYPE_CHECKING:
    from collections.abc import Sequence

# Variables that Kubernetes sets for a Service whose name starts with transfer-gateway, by their name or value.
_SERVICE_LINK = re.compile(r"_SERVICE_(HOST|PORT)|_PORT_\d+_(TCP|UDP|SCTP)|=(tcp|udp|sctp)://", re.IGNORECASE)

_OF_CLIENTS = ("url", "token")  # those of `transfer-gateway search`


def unknown_settings() -> dict[str, str | None]:
    """Each such environment variable, with the most similar setting, if any is similar."""
    known = sorted(name.upper() for name in (*Settings.model_fields, *_OF_CLIENTS))
    unknown = sorted(
        name
        for name, value in os.environ.items()
        if name.upper().startswith(ENV_PREFIX)
        and name.upper().removeprefix(ENV_PREFIX) not in known
        and not _SERVICE_LINK.search(f"{name}={value}")
    )
    return {name: _most_similar(name.upper().removeprefix(ENV_PREFIX), known) for name in unknown}


def _most_similar(name: str, known: Sequence[str]) -> str | None:
    """Also if only the first word of it was written: `POLCY` is POLICY_FILE."""
    first_words = {each.partition("_")[0]: each for each in reversed(known)}
    close = get_close_matches(name, known, 1) or get_close_matches(name, first_words, 1)
    return ENV_PREFIX + first_words.get(close[0], close[0]) if close else None
