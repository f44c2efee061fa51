"""Which accounts the gateway reads."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003  pydantic reads the annotations

from pydantic import Field

from transfer_gateway.settings.groups.group import Group


class AccountsSettings(Group):
    accounts_file: Path = Field(description="YAML file that lists the accounts. Reloaded when it changes.")
    accounts_reload_s: float = Field(
        5.0,
        ge=0.1,
        le=3600,
        description="Seconds between checks of the accounts file, the policy and the certificates for changes.",
    )
