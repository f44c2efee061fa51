"""The schema's entry points. Each resolves once, at the root; below it are plain attributes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import strawberry
from strawberry.extensions import ParserCache, ValidationCache
from strawberry.schema.config import StrawberryConfig

from transfer_gateway.api.graphql.errors import ExecutionOrError, to_data
from transfer_gateway.api.graphql.scalars import SCALARS
from transfer_gateway.api.graphql.types import Account, Execution, ExecutionKeyInput, Info, Node
from transfer_gateway.domain.errors import AccountNotAvailable, BadUserInput, GatewayError
from transfer_gateway.domain.identity import AccountId, ExecutionKey

if TYPE_CHECKING:
    from graphql import GraphQLError
    from strawberry.types import ExecutionContext

_Key = Annotated[ExecutionKeyInput, strawberry.argument(description="Which execution.")]
_CACHED_DOCUMENTS = 1000


@strawberry.type(description="Everything that can be asked.")
class Query:
    @strawberry.field(
        description="An execution in progress. On failure null, with the code in `errors[].extensions`.",
        graphql_type=Execution | None,
    )
    async def execution(self, info: Info, key: _Key) -> Any:  # noqa: ANN401  a domain execution
        return await info.context.gateway.describe(key.to_key(), deadline=info.context.deadline)

    @strawberry.field(
        description="An execution in progress, or why it could not be had: errors as data.",
        graphql_type=ExecutionOrError,
    )
    async def execution_or_error(self, info: Info, key: _Key) -> Any:  # noqa: ANN401  as above, or an Error
        try:
            return await info.context.gateway.describe(key.to_key(), deadline=info.context.deadline)
        except GatewayError as error:
            return to_data(error)

    @strawberry.field(
        description="The accounts that you may see, in the configured order.", graphql_type=list[Account]
    )
    async def accounts(self, info: Info) -> Any:  # noqa: ANN401  domain accounts
        return list(info.context.gateway.accounts)

    @strawberry.field(
        description="The object with this global id: an account or an execution.", graphql_type=Node | None
    )
    async def node(
        self,
        info: Info,
        id: Annotated[strawberry.ID, strawberry.argument(description="Its global id.")],  # noqa: A002  Relay's name
    ) -> Any:  # noqa: ANN401  a domain object
        gateway = info.context.gateway
        match id.count("/"):
            case 0:
                account_id = AccountId(id)
                account = gateway.accounts.find(account_id)
                if account is None:
                    raise AccountNotAvailable.of(account_id)
                return account
            case 3:
                return await gateway.describe(ExecutionKey.parse(id), deadline=info.context.deadline)
            case _:
                raise BadUserInput("id must be accountId, or accountId/region/workflowId/executionId.")


class _Schema(strawberry.Schema):
    def process_errors(
        self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None
    ) -> None:
        """Log nothing here: `to_errors` does, once, where the answer is made."""


def build_schema() -> strawberry.Schema:
    return _Schema(
        query=Query,
        config=StrawberryConfig(scalar_map=SCALARS),
        extensions=[
            lambda: ParserCache(maxsize=_CACHED_DOCUMENTS),
            lambda: ValidationCache(maxsize=_CACHED_DOCUMENTS),
        ],
    )
