"""Settings: environment variables, one for each field."""

from __future__ import annotations

import ipaddress
import os
import re
from pathlib import Path  # noqa: TC003  pydantic reads the annotations
from typing import TYPE_CHECKING, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from transfer_gateway.settings.configuration_error import ConfigurationError, RegionField, say

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

ENV_PREFIX = "TRANSFER_GATEWAY_"
_Words = tuple[str, ...]  # divided by commas
_Tags = tuple[tuple[str, str], ...]
_ORIGIN = re.compile(r"https?://[^/@?#\s,*]+")


def exports_traces() -> bool:
    """Whether OpenTelemetry's own variables say where traces go. All else that they say, its SDK reads."""
    given = os.environ.get
    return (
        bool(given("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or given("OTEL_EXPORTER_OTLP_ENDPOINT"))
        and given("OTEL_TRACES_EXPORTER", "otlp") == "otlp"
        and given("OTEL_SDK_DISABLED", "").lower() != "true"
    )


def shown_default(field: FieldInfo) -> str:
    """A setting's default as its variable would say it; nothing where there is none."""
    if field.default is None:
        return ""
    return (
        ",".join(field.default)
        if isinstance(field.default, tuple)
        else str(field.default).replace("True", "true")
    )


class Settings(BaseModel):
    """One field, one environment variable: `TRANSFER_GATEWAY_` and the field's name in capitals."""

    model_config = ConfigDict(frozen=True, validate_default=True)

    accounts_file: Path = Field(
        description="YAML file of the accounts to look into; re-read when it changes."
    )
    accounts_reload_s: float = Field(
        5.0,
        ge=0.1,
        le=3600,
        description="How often accounts file, policy and certificates are looked at for a change.",
    )
    auth: Literal["oidc", "none"] = Field(
        "oidc",
        description="Who may call: whoever has a token of an issuer below; or anybody (`none`), on loopback addresses.",
    )
    oidc_issuers: _Words = Field(
        (), description="Issuers of tokens, divided by commas. Required with auth `oidc`. Each has discovery."
    )
    oidc_audiences: _Words = Field(
        (), description="What tokens must be issued for, one of these. Required with auth `oidc`."
    )
    oidc_algorithms: _Words = Field(
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
    http_max_body_bytes: int = Field(
        1_048_576, ge=1024, le=104_857_600, description="Larger request bodies are refused with 413."
    )
    http_keepalive_s: int = Field(
        75,
        ge=1,
        le=3600,
        description="How long idle connections are kept; longer than the load balancer in front of this keeps them.",
    )
    http_max_head_bytes: int = Field(
        32_768,
        ge=4096,
        le=1_048_576,
        description="Larger heads of HTTP requests are refused: 414 for the URL, 431 for the headers.",
    )
    http_head_timeout_s: float = Field(
        10.0,
        ge=0.05,
        le=300,
        description="The time for a request's head, and for a TLS handshake; then the connection is closed, with 408.",
    )
    http_max_pipelined_requests: int = Field(
        16,
        ge=1,
        le=1000,
        description="HTTP requests that may wait on one connection; at one more, those are answered and it is closed.",
    )
    http_max_connections: int = Field(
        4000,
        ge=1,
        le=1_000_000,
        description="HTTP connections and WebSockets at a time. For one more, the longest idle is closed, else 503.",
    )
    http_max_connections_per_address: int = Field(
        3000,
        ge=1,
        le=1_000_000,
        description="The same for one address of a client, which may be a proxy with all callers behind it.",
    )
    http_write_timeout_s: float = Field(
        60.0,
        ge=0.05,
        le=3600,
        description="How long a client may take to read an answer; one that reads nothing has REQUEST_TIMEOUT_S.",
    )
    caller_requests_per_s: float = Field(
        50.0,
        gt=0,
        le=1_000_000,
        description="Requests of one caller; more are THROTTLED. Not with auth `none`.",
    )
    caller_requests_burst: int = Field(
        200, ge=1, le=10_000_000, description="Requests of one caller at once, after a pause."
    )
    caller_max_concurrent_requests: int = Field(
        200, ge=1, le=1_000_000, description="Requests of one caller under way at a time; more are THROTTLED."
    )
    caller_rows_per_s: float = Field(
        5000.0,
        gt=0,
        le=1_000_000_000,
        description="Rows of answers for one caller, from snapshots too: executions, workflows, accounts, failures.",
    )
    caller_rows_burst: int = Field(
        50_000, ge=1, le=1_000_000_000, description="Rows for one caller at once, after a pause."
    )
    caller_aws_calls_per_s: float = Field(
        500.0, gt=0, le=1_000_000, description="Calls to AWS that one caller causes. Snapshots cost none."
    )
    caller_aws_calls_burst: int = Field(
        20_000,
        ge=1,
        le=100_000_000,
        description="Calls to AWS that one caller causes at once, after a pause.",
    )
    caller_max_unread_bytes: int = Field(
        16_777_216,
        ge=1_048_576,
        le=2**40,
        description="Bytes of answers that one caller leaves unread; over that, its slowest connections are ended.",
    )
    max_unread_bytes: int = Field(
        67_108_864,
        ge=1_048_576,
        le=2**40,
        description="The same for all callers together.",
    )
    audit_log: bool = Field(
        default=True, description="Whether each lookup is written to the log: who, what, and what came of it."
    )
    audit_log_full: Literal["refuse", "count"] = Field(
        "refuse",
        description="While lines of the audit can't be written: `refuse` requests, or go on and `count` what is lost.",
    )
    http_cors_origins: _Words = Field(
        (),
        description="Origins, divided by commas, whose pages may call from a browser, such as https://ops.example.com.",
    )
    graphiql: bool = Field(
        default=True, description="Whether a browser that opens /graphql gets a page to ask from."
    )
    graphql_answers_max_bytes: int = Field(
        16_777_216,
        ge=0,
        le=2**40,
        description="Memory for answers, given again while their snapshots are fresh. 0: every answer is made anew.",
    )
    graphql_introspection: bool = Field(default=True, description="Whether the schema can be asked for.")
    graphql_suggestions: bool = Field(default=True, description="Whether errors suggest names that do exist.")
    graphql_trusted_documents: Literal["off", "allow", "only"] = Field(
        "off", description="Whether documents may (`allow`) or must (`only`) be asked for by their hash."
    )
    graphql_trusted_documents_path: Path | None = Field(
        None, description="Those documents: a directory of .graphql files, or a manifest of hashes and texts."
    )
    graphql_max_characters: int = Field(65_536, ge=1, le=10_000_000, description="Of a document's text.")
    graphql_max_tokens: int = Field(
        2000, ge=1, le=1_000_000, description="Of a document; comments as many again."
    )
    graphql_max_selections: int = Field(
        1000,
        ge=1,
        le=1_000_000,
        description="Fields and fragments of a document, each counted wherever it is spread.",
    )
    graphql_max_depth: int = Field(
        15, ge=1, le=200, description="Levels of fields. GraphiQL's own query for the schema has 15."
    )
    graphql_max_root_fields: int = Field(
        20, ge=1, le=100_000, description="Fields of Query in one operation."
    )
    graphql_max_aliases: int = Field(50, ge=0, le=100_000, description="Aliases of a document.")
    graphql_max_directives: int = Field(50, ge=0, le=100_000, description="Directives of a document.")
    graphql_max_list_items: int = Field(2000, ge=1, le=1_000_000, description="Of each list in a request.")
    graphql_max_variable_values: int = Field(
        10_000, ge=1, le=10_000_000, description="Of all variables, those in lists and objects counted."
    )
    graphql_max_aws_calls: int = Field(
        100_000,
        ge=1,
        le=100_000_000,
        description="Calls to AWS that one operation may need: one for each key, two for each target of a list.",
    )
    grpc_max_message_bytes: int = Field(
        262_144,
        ge=1024,
        le=104_857_600,
        description="Larger request messages are refused with RESOURCE_EXHAUSTED.",
    )
    grpc_max_concurrent_rpcs: int = Field(
        1000, ge=1, le=100_000, description="Calls at a time; more are refused with RESOURCE_EXHAUSTED."
    )
    grpc_max_concurrent_streams: int = Field(
        250, ge=1, le=100_000, description="Calls at a time on one connection; more wait there."
    )
    grpc_max_public_streams: int = Field(
        100,
        ge=1,
        le=100_000,
        description="Health watches and reflection, which need no token, at a time; over that, the oldest is ended.",
    )
    grpc_message_timeout_s: float = Field(
        5.0, ge=0.1, le=300, description="How long a call may take to send its message."
    )
    grpc_keepalive_s: float = Field(
        60.0,
        ge=1,
        le=7200,
        description="How often a silent connection is tried, so that dead ones are noticed.",
    )
    grpc_max_connection_age_s: float = Field(
        300.0,
        ge=1,
        le=86_400,
        description="Clients are asked to connect anew after about that time, which spreads them over replicas.",
    )
    grpc_max_connections: int = Field(
        1000, ge=1, le=1_000_000, description="gRPC connections at a time; more are closed."
    )
    grpc_handshake_timeout_s: float = Field(
        5.0,
        ge=0.1,
        le=300,
        description="How long a new gRPC connection may take for TLS and the start of HTTP/2; then it is closed.",
    )
    grpc_max_connection_idle_s: float = Field(
        60.0,
        ge=1,
        le=86_400,
        description="gRPC connections without a call for so long are ended; clients connect anew for their next one.",
    )
    request_timeout_s: float = Field(
        10.0,
        ge=0.05,
        le=300,
        description="One request's time; what is not there by then is DEADLINE_EXCEEDED.",
    )
    shutdown_delay_s: float = Field(
        3.0,
        ge=0,
        le=600,
        description="After SIGTERM, how long to go on serving while not ready, so that no more is sent here.",
    )
    shutdown_grace_s: float = Field(
        20.0, ge=0, le=600, description="After that, how long requests under way may take to finish."
    )
    aws_connect_timeout_s: float = Field(3.0, gt=0, le=60, description="Connecting to AWS.")
    aws_read_timeout_s: float = Field(8.0, gt=0, le=300, description="Waiting for AWS's answer.")
    aws_max_answer_bytes: int = Field(
        4_194_304,
        ge=65_536,
        le=268_435_456,
        description="Larger answers of AWS are UPSTREAM_UNAVAILABLE, and their connection is closed.",
    )
    aws_max_list_rows: int = Field(
        20_000,
        ge=1000,
        le=10_000_000,
        description="Of one list of AWS's, over all its pages; 2 KB of memory each. Longer: UPSTREAM_UNAVAILABLE.",
    )
    aws_max_in_flight: int = Field(
        256,
        ge=1,
        le=10_000,
        description="Calls to AWS at a time, over all targets; those slower than 0.5 s aside.",
    )
    target_max_in_flight: int = Field(
        16, ge=1, le=1000, description="Calls at a time to one target: an account in a region."
    )
    target_rate_per_s: float = Field(10.0, gt=0, le=10_000, description="Calls per second to one target.")
    target_burst: int = Field(
        50, ge=1, le=10_000, description="Calls to one target at once, after it was left alone for a while."
    )
    snapshots_max_entries: int = Field(
        20_000, ge=1, le=10_000_000, description="Executions kept for callers that accept an older answer."
    )
    snapshots_max_bytes: int = Field(
        134_217_728, ge=65_536, le=2**40, description="Memory for those, about; the least used go first."
    )
    sts_region: RegionField | None = Field(
        None,
        description="Region of the STS endpoint. Default: AWS_DEFAULT_REGION, else the first account's first.",
    )
    assume_role_max_concurrency: int = Field(
        48, ge=1, le=1000, description="AssumeRole calls at a time; those slower than 0.5 s aside."
    )
    role_session_name: str = Field(
        "transfer-gateway",
        pattern=r"^[A-Za-z0-9_+=,.@-]{2,64}$",
        description="RoleSessionName: how the gateway shows in the accounts' CloudTrail.",
    )
    role_source_identity: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9_+=,.@-]{2,64}$",
        description="SourceIdentity, kept through further roles; roles must allow sts:SetSourceIdentity.",
    )
    role_session_tags: _Tags = Field(
        (),
        max_length=50,
        description="Session tags, as key=value, divided by commas; roles must allow sts:TagSession.",
    )
    cursor_secret: SecretStr | None = Field(
        None,
        min_length=16,
        description="Signs the cursors of lists. Without it they end with the process, and hold for one replica.",
    )
    slow_request_s: float = Field(
        1.0, ge=0, le=300, description="Requests that take longer are logged as `slow_request`."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level logged.")
    log_queue_max_bytes: int = Field(
        8_388_608,
        ge=65_536,
        le=2**30,
        description="Memory for lines that wait to be written. When half is full, lines are dropped, but the audit's.",
    )
    log_format: Literal["auto", "json", "console"] = Field(
        "auto", description="`auto`: for people on a terminal, JSON lines elsewhere."
    )

    @field_validator("http_host", "grpc_host")
    @classmethod
    def _check_loopback(cls, value: str, info: ValidationInfo) -> str:
        if info.data.get("auth") == "none" and not _is_loopback(value):
            raise ValueError(
                f"{value!r} is no loopback address; without authentication only 127.0.0.1, ::1 and localhost are served"
            )
        return value

    @field_validator("oidc_issuers", "oidc_audiences", "oidc_algorithms", "http_cors_origins", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return tuple(word.strip() for word in value.split(",") if word.strip())

    @field_validator("role_session_tags", mode="before")
    @classmethod
    def _split_tags(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        tags = [word.partition("=") for word in value.split(",") if word.strip()]
        for key, equals, _ in tags:
            if not equals or not key.strip():
                raise ValueError("must be tags such as team=payments, divided by commas")
        return tuple((key.strip(), text.strip()) for key, _, text in tags)

    @field_validator("oidc_issuers", "oidc_audiences", "policy_file")
    @classmethod
    def _check_given(cls, value: object, info: ValidationInfo) -> object:
        if not value and info.data.get("auth") == "oidc":
            raise ValueError("is required with auth `oidc`")
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

    @field_validator("http_cors_origins")
    @classmethod
    def _check_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for origin in value:
            if not _ORIGIN.fullmatch(origin):
                raise ValueError(f"{origin!r} is no origin, such as https://ops.example.com")
        return value

    @model_validator(mode="after")
    def _check_trusted_documents(self) -> Self:
        if self.graphql_trusted_documents != "off" and self.graphql_trusted_documents_path is None:
            raise ValueError(
                f"{ENV_PREFIX}GRAPHQL_TRUSTED_DOCUMENTS_PATH is required with "
                f"{ENV_PREFIX}GRAPHQL_TRUSTED_DOCUMENTS={self.graphql_trusted_documents}"
            )
        return self

    @classmethod
    def from_environment(cls, **overrides: object) -> Self:
        """Read and check the environment; `overrides` (from the command line) win over it. An empty variable is none.

        Raises: ConfigurationError.
        """
        variables = {name.upper(): value for name, value in os.environ.items() if value}
        given = {name: variables.get(f"{ENV_PREFIX}{name.upper()}") for name in cls.model_fields} | {
            name: value for name, value in overrides.items() if value is not None
        }
        try:
            return cls.model_validate({name: value for name, value in given.items() if value is not None})
        except ValidationError as error:
            raise ConfigurationError(
                [
                    f"{ENV_PREFIX}{'_'.join(str(part) for part in problem['loc']).upper()}: {say(problem)}"
                    if problem["loc"]
                    else say(problem)
                    for problem in error.errors(include_url=False)
                ]
            ) from None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
