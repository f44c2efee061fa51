"""Variables that look like settings and are none: a misspelt one would else be ignored without a word."""

from __future__ import annotations

import os
import re
from difflib import get_close_matches

from transfer_gateway.settings.environment import Settings
from transfer_gateway.settings.groups.group import ENV_PREFIX

# What Kubernetes sets for a Service called transfer-gateway, or one whose name begins so: the name, or the value.
_SERVICE_LINK = re.compile(r"_SERVICE_(HOST|PORT)|_PORT_\d+_(TCP|UDP|SCTP)|=(tcp|udp|sctp)://", re.IGNORECASE)


def unknown_settings() -> dict[str, str | None]:
    """Each such variable of the environment, with the setting whose name is nearest, if any is near."""
    known = {ENV_PREFIX + name.upper() for name in Settings.model_fields}
    unknown = sorted(
        name
        for name, value in os.environ.items()
        if name.upper().startswith(ENV_PREFIX)
        and name.upper() not in known
        and not _SERVICE_LINK.search(f"{name}={value}")
    )
    return {name: next(iter(get_close_matches(name.upper(), known, 1)), None) for name in unknown}
