"""Control characters are refused in every file, with their place."""

from __future__ import annotations

from pathlib import Path

import pytest

from accounts_texts import parse, problems
from transfer_gateway.settings import (
    ConfigurationError,
    load_documents,
    parse_policy,
)

CONTROL = [
    pytest.param(r"\n", "U+000A", id="line-feed"),
    pytest.param(r"\0", "U+0000", id="nul"),
    pytest.param(r"\x1b[2J", "U+001B", id="escape"),
    pytest.param(r"\x85", "U+0085", id="next-line"),
    pytest.param(r"\u2028", "U+2028", id="line-separator"),
    pytest.param(r"\u202e", "U+202E", id="right-to-left-override"),
    pytest.param(r"\u2066", "U+2066", id="isolate"),
    pytest.param(r"\u200b", "U+200B", id="zero-width-space"),
    pytest.param(r"\ufeff", "U+FEFF", id="byte-order-mark"),
]


@pytest.mark.parametrize(("spelled", "named"), CONTROL)
@pytest.mark.parametrize(
    ("text", "place"),
    [
        (
            'accounts:\n  - {{ id: "111111111111", regions: [eu-west-1], alias: "ab{}" }}\n',
            "2:49: accounts[0].alias: ",
        ),
        (
            'accounts:\n  - {{ id: "111111111111", regions: [eu-west-1], tags: {{ team: "ab{}" }} }}\n',
            "2:57: accounts[0].tags.team: ",
        ),
        ('defaults: {{ external_id: "ab{}", regions: [eu-west-1] }}\n', "1:13: defaults.external_id: "),
        (
            'discover: {{ organizations: {{ include_ous: ["ab{}"] }} }}\n',
            "1:44: discover.organizations.include_ous[0]: ",
        ),
    ],
    ids=["alias", "tag", "external-id", "list"],
)
def test_control_characters_are_refused(text: str, place: str, spelled: str, named: str) -> None:
    """No text of the accounts file has a character that tears or fakes what is printed; its place is told."""
    (problem,) = problems(text.format(spelled))
    assert problem == (
        f"accounts.yaml:{place}must not have control characters or invisible ones; character 3 is {named}"
    )


def test_control_characters_in_keys_are_refused() -> None:
    """The same for keys, whose own are shown escaped."""
    (problem,) = problems(
        'accounts:\n  - { id: "111111111111", regions: [eu-west-1], tags: { "a\\nb": x } }\n'
    )
    assert problem.startswith(r"accounts.yaml:2:57: accounts[0].tags.a\u000ab: its key must not have control")


def test_other_scripts_are_accepted() -> None:
    """Names in any script, with spaces and joined emoji, are names."""
    names = ["Zahlungen Köln", "支払い\u3000本番", "می\u200cخواهم", "👩\u200d💻 team"]
    text = "defaults: { regions: [eu-west-1] }\naccounts:\n" + "".join(
        f'  - {{ id: "{number:012}", alias: "{name}" }}\n' for number, name in enumerate(names)
    )
    assert [account.alias for account in parse(text)] == names


@pytest.mark.parametrize(("spelled", "named"), CONTROL)
def test_control_characters_in_a_policy_are_refused(spelled: str, named: str) -> None:
    """The same for the policy file."""
    text = f'rules:\n  - {{ callers: {{ groups: ["ops{spelled}"] }}, accounts: {{ all: true }} }}\n'
    with pytest.raises(ConfigurationError) as refused:
        parse_policy(text.encode(), name="policy.yaml")
    (problem,) = refused.value.problems
    assert problem.startswith("policy.yaml:2:27: rules[0].callers.groups[0]: must not have control")
    assert problem.endswith(named)


def test_control_characters_in_a_documents_id_are_refused(tmp_path: Path) -> None:
    """The same for the ids of trusted documents, whose texts may have many lines."""
    manifest = tmp_path / "documents.json"
    manifest.write_text(r'{"a": "{\n  accounts { id }\n}"}')
    assert load_documents(manifest) == {"a": "{\n  accounts { id }\n}"}
    manifest.write_text(r'{"a\u202e": "{ accounts { id } }"}')
    with pytest.raises(ConfigurationError) as refused:
        load_documents(manifest)
    (problem,) = refused.value.problems
    assert problem.startswith(rf"{manifest}: a\u202e: the document's id must not have control characters")
