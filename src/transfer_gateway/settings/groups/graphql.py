"""GraphQL: pages, browsers, documents and their limits."""

from __future__ import annotations

import re
from pathlib import Path  # noqa: TC003  pydantic reads the annotations
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from transfer_gateway.settings.groups.group import ENV_PREFIX, CommaSeparated, Group

_ORIGIN = re.compile(r"https?://[^/@?#\s,*]+")


class GraphQLSettings(Group):
    http_cors_origins: CommaSeparated = Field(
        (),
        description="Origins allowed to call from a browser, comma-separated, such as https://ops.example.com.",
    )
    page: bool = Field(
        default=True, description="Whether /executions serves the page for people to browsers."
    )
    graphiql: bool = Field(default=True, description="Whether /graphql serves GraphiQL to browsers.")
    graphql_answers_max_bytes: int = Field(
        16_777_216,
        ge=0,
        le=2**40,
        description=(
            "Memory for cached GraphQL responses, used while their executions are fresh enough. "
            "0 disables the cache."
        ),
    )
    graphql_introspection: bool = Field(default=True, description="Whether introspection is allowed.")
    graphql_suggestions: bool = Field(default=True, description="Whether errors suggest similar names.")
    graphql_trusted_documents: Literal["off", "allow", "only"] = Field(
        "off", description="Whether clients may (`allow`) or must (`only`) use trusted documents, by hash."
    )
    graphql_trusted_documents_path: Path | None = Field(
        None,
        description="The trusted documents: a directory of .graphql files, or a JSON manifest of hashes and documents.",
    )
    graphql_max_characters: int = Field(
        65_536, ge=1, le=10_000_000, description="Maximum characters of a document."
    )
    graphql_max_tokens: int = Field(
        2000, ge=1, le=1_000_000, description="Maximum tokens of a document, and the same number of comments."
    )
    graphql_max_selections: int = Field(
        1000,
        ge=1,
        le=1_000_000,
        description="Maximum fields and fragments of a document. A fragment's content counts wherever it is spread.",
    )
    graphql_max_depth: int = Field(
        15,
        ge=1,
        le=200,
        description="Maximum levels of nested fields. GraphiQL's introspection query has 15.",
    )
    graphql_max_root_fields: int = Field(
        20, ge=1, le=100_000, description="Maximum root fields of an operation."
    )
    graphql_max_aliases: int = Field(50, ge=0, le=100_000, description="Maximum aliases of a document.")
    graphql_max_directives: int = Field(50, ge=0, le=100_000, description="Maximum directives of a document.")
    graphql_max_list_items: int = Field(
        2000, ge=1, le=1_000_000, description="Maximum items of each list in a request."
    )
    graphql_max_variable_values: int = Field(
        10_000,
        ge=1,
        le=10_000_000,
        description="Maximum values in all variables of a request, nested ones included.",
    )
    graphql_max_aws_calls: int = Field(
        100_000,
        ge=1,
        le=100_000_000,
        description="Maximum AWS calls that an operation may need: one for each key, two for each target "
        "that a list or a search has to ask.",
    )

    @field_validator("http_cors_origins")
    @classmethod
    def _check_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for origin in value:
            if not _ORIGIN.fullmatch(origin):
                raise ValueError(f"{origin!r} is not an origin, such as https://ops.example.com")
        return value

    @model_validator(mode="after")
    def _check_trusted_documents(self) -> Self:
        if self.graphql_trusted_documents != "off" and self.graphql_trusted_documents_path is None:
            raise ValueError(
                f"{ENV_PREFIX}GRAPHQL_TRUSTED_DOCUMENTS_PATH is required with "
                f"{ENV_PREFIX}GRAPHQL_TRUSTED_DOCUMENTS={self.graphql_trusted_documents}"
            )
        return self
