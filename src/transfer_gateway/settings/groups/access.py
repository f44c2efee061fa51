"""Who may call, and what they see."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003  pydantic reads the annotations
from typing import Literal

from pydantic import Field, ValidationInfo, field_validator

from transfer_gateway.settings.groups.group import CommaSeparated, Group


class AccessSettings(Group):
    auth: Literal["oidc", "none"] = Field(
        "oidc",
        description="Who may call: whoever has a token of an issuer below; or anybody (`none`), on loopback addresses.",
    )
    oidc_issuers: CommaSeparated = Field(
        (), description="Issuers of tokens, divided by commas. Required with auth `oidc`. Each has discovery."
    )
    oidc_audiences: CommaSeparated = Field(
        (), description="What tokens must be issued for, one of these. Required with auth `oidc`."
    )
    oidc_algorithms: CommaSeparated = Field(
        ("RS256", "ES256", "PS256", "EdDSA"), description="Signatures accepted; asymmetric ones only."
    )
    oidc_groups_claim: str = Field("groups", min_length=1, description="The claim with a caller's groups.")
    oidc_leeway_s: float = Field(
        30.0, ge=0, le=600, description="How far the issuers' clocks may be from ours."
    )
    oidc_ca_file: Path | None = Field(
        None, description="Certificates to trust the issuers by, besides the system's."
    )
    oidc_cluster_issuer: str | None = Field(
        None,
        description="The one of the issuers that is this Kubernetes cluster: reached with the pod's own token and CA.",
    )
    policy_file: Path | None = Field(
        None,
        description="YAML file of who sees what; re-read when it changes. Required with auth `oidc`.",
    )

    @field_validator("oidc_issuers", "oidc_audiences", "policy_file")
    @classmethod
    def _check_given(cls, value: object, info: ValidationInfo) -> object:
        if not value and info.data.get("auth") == "oidc":
            raise ValueError("is required with auth `oidc`")
        return value
