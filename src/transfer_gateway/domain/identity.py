"""Ids of accounts, regions, workflows and executions. They are validated once, when they are created.

Targets and keys are tuples, which compare and hash in C: every cache entry, shared task and limit is looked up by one.
"""

from __future__ import annotations

import re
from typing import ClassVar, NamedTuple, Self

from transfer_gateway.domain.gateway_error import BadUserInput, quote


class Identifier(str):
    """A string that matches its AWS pattern; the constructor validates it.

    `HAS_CASE` False: AWS's pattern allows both cases; converted to lower case, so that one resource has one id.

    Raises: BadUserInput, with the type, the pattern and the rejected value.
    """

    __slots__ = ()
    PATTERN: ClassVar[re.Pattern[str]]
    EXAMPLE: ClassVar[str]
    HAS_CASE: ClassVar[bool] = True

    def __new__(cls, value: object) -> Self:
        if not isinstance(value, str) or cls.PATTERN.fullmatch(value) is None:
            raise BadUserInput(
                f"{cls.__name__} must match {cls.PATTERN.pattern}, such as {cls.EXAMPLE}; got {quote(value)}."
            )
        return str.__new__(cls, value if cls.HAS_CASE else value.lower())


class AccountId(Identifier):
    """Twelve digits. Source: the AWS Organizations model."""

    __slots__ = ()
    PATTERN = re.compile(r"[0-9]{12}")
    EXAMPLE = "111111111111"


class Region(Identifier):
    """An AWS region code of any partition."""

    __slots__ = ()
    PATTERN = re.compile(r"[a-z]{2,4}(-[a-z]+){1,2}-[0-9]{1,2}")
    EXAMPLE = "eu-west-1"


class WorkflowId(Identifier):
    """Unique within an account and region. Source: the Transfer model."""

    __slots__ = ()
    PATTERN = re.compile(r"w-([a-z0-9]{17})")
    EXAMPLE = "w-1a2b3c4d5e6f7a8b9"


class ExecutionId(Identifier):
    """Unique within a workflow. Source: the Transfer model, whose pattern allows both cases."""

    __slots__ = ()
    PATTERN = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}")
    EXAMPLE = "3f2b1c4d-5e6f-4a8b-9c0d-1e2f3a4b5c6d"
    HAS_CASE = False


class Target(NamedTuple):
    """One account in one region: the unit of AWS's limits, and of failure."""

    account_id: AccountId
    region: Region

    @classmethod
    def parse(cls, text: str) -> Target:
        """Parse the string form, `account/region`. Raises: BadUserInput."""
        account_id, _, region = text.partition("/")
        return cls(AccountId(account_id), Region(region))

    def __str__(self) -> str:
        return f"{self.account_id}/{self.region}"

    @property
    def target(self) -> Target:
        """Itself, as keys have a `target`, too."""
        return self

    @property
    def label(self) -> str:
        """For messages."""
        return f"account {self.account_id}, region {self.region}"


class WorkflowKey(NamedTuple):
    """The global id of a workflow. Its string form, `account/region/workflow`, is the `id` that callers see."""

    account_id: AccountId
    region: Region
    workflow_id: WorkflowId

    @classmethod
    def parse(cls, text: str) -> WorkflowKey:
        """Parse the string form. Raises: BadUserInput."""
        parts = text.split("/")
        if len(parts) != 3:  # noqa: PLR2004  the three fields above
            raise BadUserInput("A workflow's id has the form accountId/region/workflowId.")
        account_id, region, workflow_id = parts
        return cls(AccountId(account_id), Region(region), WorkflowId(workflow_id))

    @property
    def target(self) -> Target:
        return Target(self.account_id, self.region)

    def __str__(self) -> str:
        return f"{self.account_id}/{self.region}/{self.workflow_id}"


class ExecutionKey(NamedTuple):
    """The global id of an execution. AWS's own ids contain neither account nor region.

    Its string form, `account/region/workflow/execution`, is the `id` that callers see.
    """

    account_id: AccountId
    region: Region
    workflow_id: WorkflowId
    execution_id: ExecutionId

    @classmethod
    def parse(cls, text: str) -> ExecutionKey:
        """Parse the string form. Raises: BadUserInput."""
        parts = text.split("/")
        if len(parts) != 4:  # noqa: PLR2004  the four fields above
            raise BadUserInput("An execution's id has the form accountId/region/workflowId/executionId.")
        account_id, region, workflow_id, execution_id = parts
        return cls(AccountId(account_id), Region(region), WorkflowId(workflow_id), ExecutionId(execution_id))

    @property
    def target(self) -> Target:
        return Target(self.account_id, self.region)

    @property
    def workflow(self) -> WorkflowKey:
        return WorkflowKey(self.account_id, self.region, self.workflow_id)

    def __str__(self) -> str:
        return f"{self.account_id}/{self.region}/{self.workflow_id}/{self.execution_id}"
