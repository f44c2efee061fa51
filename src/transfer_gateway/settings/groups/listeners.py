"""Addresses and TLS certificates of both servers."""

from __future__ import annotations

import ipaddress
import sys
from pathlib import Path  # noqa: TC003  pydantic reads the annotations

from pydantic import Field, ValidationInfo, field_validator

from transfer_gateway.settings.groups.group import ENV_PREFIX, Group


class ListenerSettings(Group):
    http_host: str = Field(
        "127.0.0.1", description="Address of the HTTP server. With auth `none`, loopback addresses only."
    )
    http_port: int = Field(
        8080, ge=0, le=65535, description="Port of the HTTP server. 0 selects a free port."
    )
    grpc: bool = Field(
        default=True,
        description="Whether to run the gRPC server. `false` saves 16 MB of memory.",
    )
    grpc_host: str = Field(
        "127.0.0.1", description="Address of the gRPC server. With auth `none`, loopback addresses only."
    )
    grpc_port: int = Field(
        50051, ge=0, le=65535, description="Port of the gRPC server. 0 selects a free port."
    )
    workers: int = Field(
        1,
        ge=1,
        le=64,
        description=(
            "Processes that share both ports, 1 to 64, about one for each core. Only on Linux. Limits of callers and "
            "connections are divided by it, all others are of each process."
        ),
    )
    http_tls_cert_file: Path | None = Field(
        None,
        description="Certificate of the HTTP server with its intermediates, in PEM. Reloaded when it changes.",
    )
    http_tls_key_file: Path | None = Field(
        None,
        description="Private key of the HTTP server, in PEM, without a passphrase. Reloaded when it changes.",
    )
    grpc_tls_cert_file: Path | None = Field(
        None,
        description="Certificate of the gRPC server with its intermediates, in PEM. Reloaded when it changes.",
    )
    grpc_tls_key_file: Path | None = Field(
        None,
        description="Private key of the gRPC server, in PEM, without a passphrase. Reloaded when it changes.",
    )
    grpc_client_ca_file: Path | None = Field(
        None,
        description=(
            "CA certificates, in PEM, that gRPC client certificates must be issued by. "
            "Reloaded when it changes."
        ),
    )

    @field_validator("http_host", "grpc_host")
    @classmethod
    def _check_loopback(cls, value: str, info: ValidationInfo) -> str:
        if info.data.get("auth") == "none" and not is_loopback(value):
            raise ValueError(
                f"{value!r} is not a loopback address: with auth `none`, only 127.0.0.1, ::1 and localhost are "
                "allowed; use auth `oidc` for others"
            )
        return value

    @field_validator("workers")
    @classmethod
    def _check_system(cls, value: int) -> int:
        if value > 1 and sys.platform != "linux":
            raise ValueError("must be 1: only Linux spreads connections over processes")
        return value

    @field_validator("http_tls_key_file", "grpc_tls_key_file")
    @classmethod
    def _check_key_and_certificate(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        certificate = str(info.field_name).replace("key", "cert")
        if (value is None) != (info.data.get(certificate) is None):
            says = "is required with" if value is None else "needs"
            raise ValueError(f"{says} {ENV_PREFIX}{certificate.upper()}")
        return value

    @field_validator("grpc_client_ca_file")
    @classmethod
    def _check_client_ca_has_tls(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        if value is not None and info.data.get("grpc_tls_cert_file") is None:
            raise ValueError(f"needs {ENV_PREFIX}GRPC_TLS_CERT_FILE: client certificates need TLS")
        return value


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
