"""Authentication of callers, and the access policy."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003  pydantic reads the annotations
from typing import Literal

from pydantic import Field, ValidationInfo, field_validator

from transfer_gateway.settings.groups.group import CommaSeparated, Group


class AccessSettings(Group):
    auth: Literal["oidc", "none"] = Field(
        "oidc",
        description=(
            "`oidc`: callers need a token from one of the issuers. "
            "`none`: no authentication, on loopback addresses only."
        ),
    )
    oidc_issuers: CommaSeparated = Field(
        (),
        description=(
            "Trusted token issuers, comma-separated. Required with auth `oidc`. "
            "Each must support OIDC discovery."
        ),
    )
    oidc_audiences: CommaSeparated = Field(
        (), description="Accepted token audiences, comma-separated. Required with auth `oidc`."
    )
    oidc_algorithms: CommaSeparated = Field(
        ("RS256", "ES256", "PS256", "EdDSA"),
        description="Accepted signature algorithms, comma-separated. Asymmetric algorithms only.",
    )
    oidc_groups_claim: str = Field(
        "groups", min_length=1, description="Token claim that holds the caller's groups."
    )
    oidc_leeway_s: float = Field(
        30.0,
        ge=0,
        le=600,
        description="Clock difference tolerated between the issuers and the gateway, in seconds.",
    )
    oidc_ca_file: Path | None = Field(
        None, description="CA certificates, in PEM, trusted for the issuers in addition to the system's."
    )
    oidc_cluster_issuer: str | None = Field(
        None,
        description="The issuer that is this Kubernetes cluster. It is called with the pod's own token and CA.",
    )
    policy_file: Path | None = Field(
        None,
        description="YAML file with the access policy. Reloaded when it changes. Required with auth `oidc`.",
    )

    @field_validator("oidc_issuers", "oidc_audiences", "policy_file")
    @classmethod
    def _check_given(cls, value: object, info: ValidationInfo) -> object:
        if not value and info.data.get("auth") == "oidc":
            raise ValueError("is required with auth `oidc`")
        return value
