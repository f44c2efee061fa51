"""`.ci/run contracts` accepts additions to the schema, but no change that breaks clients of a release."""

from __future__ import annotations

from pathlib import Path

import pytest

from node import NODE, output

pytestmark = pytest.mark.node

RELEASED = NODE.parent / "released.graphql"
ACCOUNTS = '"""The accounts that you may see, in the configured order."""\n  accounts: [Account!]!'


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        pytest.param(ACCOUNTS, "", "BREAKING: Field 'accounts'", id="removed-field"),
        pytest.param(
            "targetsAsked: Int!", "targetsAsked: String!", "BREAKING: Field", id="another-type-of-a-field"
        ),
        pytest.param(
            "observedAt: DateTime!", "observedAt: DateTime", "BREAKING: Field", id="nullable-after-all"
        ),
        pytest.param(
            "accounts: [Account!]!",
            "accounts(alias: String!): [Account!]!",
            "BREAKING: Argument 'alias: String!' added",
            id="new-required-argument",
        ),
        pytest.param(
            "input ExecutionKey {",
            "input ExecutionKey {\n  serverId: String!",
            "BREAKING: Input field 'serverId'",
            id="new-required-input-field",
        ),
        pytest.param(
            "  HANDLING_EXCEPTION\n",
            "  HANDLING\n",
            "BREAKING: Enum value 'HANDLING_EXCEPTION'",
            id="renamed-enum-value",
        ),
        pytest.param(
            "= Workflow | WorkflowNotFound", "= Workflow", "BREAKING: Member", id="removed-union-member"
        ),
        pytest.param("accounts: [", "count: Int\n  accounts: [", "NON_BREAKING: Field", id="new-field"),
        pytest.param(
            "accounts: [Account!]!",
            "accounts(alias: String): [Account!]!",
            "Argument 'alias: String' added",
            id="new-optional-argument",
        ),
        pytest.param(
            "  IN_PROGRESS\n", "  IN_PROGRESS\n  PAUSED\n", "DANGEROUS: Enum value", id="new-enum-value"
        ),
    ],
)
async def test_changes(tmp_path: Path, before: str, after: str, told: str) -> None:
    """A breaking change fails; an addition is reported."""
    released = RELEASED.read_text()
    assert before in released
    changed = tmp_path / "schema.graphql"
    changed.write_text(released.replace(before, after, 1))
    code, out = await output("node", NODE / "schema_changes.mjs", RELEASED, changed)
    assert (code, told in out) == (1 if told.startswith("BREAKING") else 0, True), out


async def test_no_change() -> None:
    """A released schema does not break its own clients."""
    assert await output("node", NODE / "schema_changes.mjs", RELEASED, RELEASED) == (0, "")
