"""Objects with a global id, the accounts they belong to, and the position of a page in a list."""

from __future__ import annotations

import strawberry

from transfer_gateway.api.graphql.declare import domain_type
from transfer_gateway.domain import account
from transfer_gateway.domain.identity import AccountId, Region


@strawberry.interface(description="An object with a global id, as Relay defines it.")
class Node:
    id: strawberry.ID = strawberry.field(description="Global id; `node(id:)` finds the object again.")


@domain_type(account.Account, "An AWS account that the gateway reads.")
class Account(Node):
    id: strawberry.ID = strawberry.field(description="Global id: the account's id.")
    alias: str | None = strawberry.field(
        description="Alias from the accounts file, or the account's name in the organization."
    )
    regions: list[Region] = strawberry.field(description="The regions that the gateway reads.")

    @strawberry.field(description="The 12-digit account ID.")
    def account_id(self) -> AccountId:
        return AccountId(self.id)


@strawberry.type(description="Where a page is in the list, as Relay defines it.")
class PageInfo:
    has_next_page: bool = strawberry.field(description="Whether more items follow this page.")
    has_previous_page: bool = strawberry.field(
        description="Whether items precede this page. In lists that can only be read forward: whether it was requested "
        "with `after`."
    )
    start_cursor: str | None = strawberry.field(description="Cursor of the first edge, for the page before.")
    end_cursor: str | None = strawberry.field(description="Cursor of the last edge, for the next page.")
