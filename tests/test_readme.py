"""The README says what is true now."""

from __future__ import annotations

import re
from pathlib import Path

from graphql import parse, validate

from transfer_gateway.api.errors import TABLE
from transfer_gateway.api.graphql.schema import build_schema
from transfer_gateway.aws.organizations import LISTS
from transfer_gateway.aws.transfer import Transfer
from transfer_gateway.domain.caller import Caller
from transfer_gateway.settings import ENV_PREFIX, Settings, parse_accounts, parse_policy, shown_default

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def section(title: str) -> str:
    """The text under a heading, down to the next heading of any level."""
    return re.split(r"\n#+ ", README.partition(f"# {title}\n")[2])[0]


def fenced(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def test_quick_start_has_two_commands() -> None:
    """Exactly two: the main job, and the tests."""
    assert fenced(section("Quick start"), "sh") == [
        "pip install uv && uv run transfer-gateway demo\n",
        "pip install uv && uv run pytest\n",
    ]


def test_queries_fit_the_schema() -> None:
    """Every query shown can be run."""
    queries = fenced(README, "graphql")
    assert queries
    for query in queries:
        assert validate(build_schema()._schema, parse(query)) == [], query


def test_typescript_is_what_runs() -> None:
    """The TypeScript shown is part of what `.ci/run clients` compiles and runs."""
    run = "".join(path.read_text() for path in (ROOT / ".ci/node/typescript").glob("*.ts"))
    shown = fenced(section("From TypeScript"), "ts")
    assert len(shown) == 3
    for code in shown:
        assert code in run.replace("../../../schema.graphql", "schema.graphql"), code


def test_permissions_of_the_role() -> None:
    """The role's permissions are the operations in use."""
    operations = {
        name.title().replace("_", "") for name in vars(Transfer) if name.startswith(("describe_", "list_"))
    }
    assert set(re.findall(r"`transfer:(\w+)`", section("Accounts file"))) == operations


def test_settings_table() -> None:
    """Every setting, with its default and its meaning."""
    rows = [
        f"| `{ENV_PREFIX}{name.upper()}` "
        f"| {'required' if field.is_required() else f'`{shown_default(field)}`' if shown_default(field) else ''} "
        f"| {field.description} |"
        for name, field in Settings.model_fields.items()
    ]
    assert [line for line in section("Settings").splitlines() if line.startswith("| `")] == rows


def test_protections_have_their_tests() -> None:
    """Each test that docs/security.md names is there, and so is each of its cases."""
    text = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    named = re.findall(r"`(?:tests/([\w/]+)\.py|(\w*))(?:::(\w+))?(?:\[([\w-]+)\])?`", text)
    assert len(named) > 60
    file = ""
    for path, module, test, case in named:
        if not (path or test or case):
            continue  # no test's name
        file = path or (f"api/{module}" if module else file)
        source = (ROOT / "tests" / f"{file}.py").read_text(encoding="utf-8")
        assert not test or f"def {test}(" in source, test
        assert not case or f'id="{case}"' in source, case


def test_errors_table() -> None:
    """Every code, with its type and whether to retry."""
    rows = [line.split(" | ") for line in section("Errors").splitlines() if re.match(r"\| [A-Z_]+ \|", line)]
    told = {row[0].strip("| "): (row[2], row[3], row[4].strip("| ")) for row in rows}
    assert told == {
        code.value: (
            row.graphql_type or "in `errors[]` only",
            row.grpc_status,
            "yes" if row.retryable else "no",
        )
        for code, row in TABLE.items()
    }


def test_accounts_file_example() -> None:
    """The accounts file shown is one."""
    (example,) = fenced(section("Accounts file"), "yaml")
    assert len(parse_accounts(example.encode(), name="README.md").listed) == 3


def test_policy_example() -> None:
    """The policy shown is one, and grants something to whom it speaks of."""
    (example,) = fenced(section("Who may see what"), "yaml")
    (accounts,) = fenced(section("Accounts file"), "yaml")
    policy = parse_policy(example.encode(), name="README.md")
    listed = parse_accounts(accounts.encode(), name="README.md").listed
    assert len(policy.scope(Caller("a", groups=frozenset({"platform"})), listed).accounts) == 3
    pod = Caller("system:serviceaccount:files:reader", "https://kubernetes.example.com")
    assert [account.id for account in policy.scope(pod, listed).accounts] == ["111111111111"]


def test_tls_example() -> None:
    """The rules shown are a policy."""
    (example,) = fenced(section("TLS"), "yaml")
    parse_policy(example.encode(), name="README.md")


def test_discovery_example() -> None:
    """The one with discovery too, and the permissions are those of the operations in use."""
    text = section("Accounts from AWS Organizations")
    (example,) = fenced(text, "yaml")
    assert parse_accounts(example.encode(), name="README.md").discovery is not None
    assert set(re.findall(r"`organizations:(\w+)`", text)) == set(LISTS)
