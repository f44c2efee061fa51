"""The addresses that are served, and their certificates."""

from __future__ import annotations

import ipaddress
from pathlib import Path  # noqa: TC003  pydantic reads the annotations

from pydantic import Field, ValidationInfo, field_validator

from transfer_gateway.settings.groups.group import ENV_PREFIX, Group


class ListenerSettings(Group):
    http_host: str = Field(
        "127.0.0.1", description="Address of the HTTP door. Loopback only, with auth `none`."
    )
    http_port: int = Field(8080, ge=0, le=65535, description="Port of the HTTP door. 0: any free one.")
    grpc: bool = Field(
        default=True,
        description="Whether the gRPC door is opened. Where nobody calls it, 16 MB of memory less.",
    )
    grpc_host: str = Field(
        "127.0.0.1", description="Address of the gRPC door. Loopback only, with auth `none`."
    )
    grpc_port: int = Field(50051, ge=0, le=65535, description="Port of the gRPC door. 0: any free one.")
    http_tls_cert_file: Path | None = Field(
        None,
        description="Certificate of the HTTP door, in PEM, then any that lead to its authority; re-read on a change.",
    )
    http_tls_key_file: Path | None = Field(None, description="Its private key, in PEM, without passphrase.")
    grpc_tls_cert_file: Path | None = Field(None, description="The same for the gRPC door.")
    grpc_tls_key_file: Path | None = Field(None, description="The same for the gRPC door.")
    grpc_client_ca_file: Path | None = Field(
        None,
        description="Authorities, in PEM: every gRPC client must have a certificate of one. Re-read when it changes.",
    )

    @field_validator("http_host", "grpc_host")
    @classmethod
    def _check_loopback(cls, value: str, info: ValidationInfo) -> str:
        if info.data.get("auth") == "none" and not _is_loopback(value):
            raise ValueError(
                f"{value!r} is no loopback address; without authentication only 127.0.0.1, ::1 and localhost are served"
            )
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
            raise ValueError(f"needs {ENV_PREFIX}GRPC_TLS_CERT_FILE: without TLS nobody shows a certificate")
        return value


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
