"""Finds variables that look like settings but are not: a misspelt one would be ignored silently."""

from __future__ import annotations

import os
import re
from difflib import get_close_matches

from transfer_gateway.settings.environment import Settings
from transfer_gateway.settings.groups.group import ENV_PREFIX

# Variables that Kubernetes sets for a Service whose name starts with transfer-gateway, by their name or value.
_SERVICE_LINK = re.compile(r"_SERVICE_(HOST|PORT)|_PORT_\d+_(TCP|UDP|SCTP)|=(tcp|udp|sctp)://", re.IGNORECASE)

_OF_CLIENTS = ("url", "token")  # those of `transfer-gateway search`


def unknown_settings() -> dict[str, str | None]:
    """Each such environment variable, with the most similar setting, if any is similar."""
    known = {ENV_PREFIX + name.upper() for name in (*Settings.model_fields, *_OF_CLIENTS)}
    unknown = sorted(
        name
        for name, value in os.environ.items()
        if name.upper().startswith(ENV_PREFIX)
        and name.upper() not in known
        and not _SERVICE_LINK.search(f"{name}={value}")
    )
    return {name: next(iter(get_close_matches(name.upper(), known, 1)), None) for name in unknown}
