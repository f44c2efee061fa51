"""GraphQL: browsers, documents and their limits."""

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
