"""Filter patterns of CloudWatch Logs."""

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfer_emulator.errors import AwsError
from transfer_emulator.filter_patterns import compile_pattern

ENTRY = json.dumps(
    {
        "type": "StepErrored",
        "details": {"errorType": "NOT_FOUND", "percent": 50, "files": [{"key": "a b.csv"}], "none": None},
        "executionId": "7a07c0c6-b705-c350-bd80-9e9491b84445",
        "is-last": True,
    }
)


@pytest.mark.parametrize(
    ("pattern", "matches"),
    [
        ("", True),
        ("  ", True),
        ('"7a07c0c6-b705-c350-bd80-9e9491b84445"', True),
        ('"c350-bd80"', True),
        ('"C350-BD80"', False),
        ("StepErrored", True),
        ("steperrored", False),
        ("StepErrored NOT_FOUND", True),
        ("StepErrored THROTTLED", False),
        ("?THROTTLED ?NOT_FOUND", True),
        ("?THROTTLED ?TIMEOUT", False),
        ("StepErrored ?TIMEOUT", True),
        ("StepErrored -NOT_FOUND", False),
        ('StepErrored -"TIME OUT"', True),
        ("-StepErrored", False),
        (r'"a \"quoted\" term"', False),
        ('{ $.type = "StepErrored" }', True),
        ("{ $.type = StepErrored }", True),
        ('{$.type="StepErrored"}', True),
        ('{ $.type = "steperrored" }', False),
        ('{ $.type = "Step*" }', True),
        ("{ $.type = *ored }", True),
        ('{ $.type = "S*p*d" }', True),
        ('{ $.type = "Step" }', False),
        ('{ $.type = "StepErrored*" }', True),
        ('{ $.type != "StepErrored" }', False),
        ('{ $.type != "Execution*" }', True),
        ('{ $.missing = "*" }', False),
        ('{ $.missing != "x" }', False),
        ("{ $.missing NOT EXISTS }", True),
        ("{ $.type NOT EXISTS }", False),
        ("{ $.type EXISTS }", True),
        ("{ $.details.none IS NULL }", True),
        ("{ $.details.none EXISTS }", True),
        ("{ $.is-last IS TRUE }", True),
        ("{ $.is-last IS FALSE }", False),
        ('{ $.details.errorType = "NOT_FOUND" }', True),
        ('{ $.details.errorType.deeper = "NOT_FOUND" }', False),
        ('{ $.details.files[0].key = "a b*" }', True),
        ('{ $.details.files[1].key = "*" }', False),
        ("{ $['details'].percent = 50 }", True),
        ("{ $.details.percent >= 50 }", True),
        ("{ $.details.percent > 50 }", False),
        ("{ $.details.percent < 50.5 }", True),
        ("{ $.type > 1 }", False),
        ('{ $.type = "StepErrored" && $.details.percent = 51 }', False),
        ('{ $.type = "StepErrored" || $.details.percent = 51 }', True),
        ('{ $.type = "x" && $.type = "y" || $.type = "Step*" }', True),
        ('{ $.type = "x" && ($.type = "y" || $.type = "Step*") }', False),
        ('{ (($.type = "Step*")) }', True),
    ],
)
def test_a_pattern_finds_what_aws_says(*, pattern: str, matches: bool) -> None:
    """Terms anywhere in the message, conditions on JSON members; case counts."""
    assert compile_pattern(pattern)(ENTRY) is matches


@pytest.mark.parametrize("message", ["Service failure on starting workflow", ENTRY[:-1], "[]", '"x"', ""])
def test_conditions_on_json_find_nothing_in_other_text(message: str) -> None:
    """Free text, damaged JSON and JSON that is no object never match; terms do."""
    assert not compile_pattern("{ $.type NOT EXISTS }")(message)
    assert compile_pattern('"failure on"')(message) is ("failure" in message)


@pytest.mark.parametrize(
    "pattern",
    [
        "w-0123",
        "a.b",
        '"open',
        'x"y"',
        "{",
        "{ }",
        "{ $.a }",
        "{ $.a = }",
        '{ a = "b" }',
        '{ $ = "b" }',
        '{ $.a == "b" }',
        '{ $.a > "b" }',
        '{ $.a = "b" & $.c = "d" }',
        '{ $.a = "b" && }',
        '{ ($.a = "b" }',
        '{ $.a = "b") }',
        '{ $.a = "b" } more',
        "{ $.a IS EMPTY }",
        "{ $.a NOT NULL }",
        "{ $.a = %b% }",
        "%b%",
        "[a, b]",
        "{ " + "(" * 200 + '$.a = "b"' + ")" * 200 + " }",
    ],
)
def test_an_invalid_pattern_is_refused(pattern: str) -> None:
    """InvalidParameterException; so are the kinds of pattern that are not emulated."""
    with pytest.raises(AwsError) as refusal:
        compile_pattern(pattern)
    assert refusal.value.failure.json_code == "InvalidParameterException"
    assert str(refusal.value.message).startswith("Invalid filter pattern: ")


@given(st.text(st.sampled_from('{}()$.&|=!<>"*?-% aIS[]0\\'), max_size=40))
def test_any_text_is_a_pattern_or_refused(pattern: str) -> None:
    """No other exception, whatever is sent."""
    try:
        matches = compile_pattern(pattern)
    except AwsError:
        return
    assert matches(ENTRY) in {True, False}


@given(
    st.dictionaries(st.from_regex(r"[a-z]{1,3}", fullmatch=True), st.text(max_size=5), max_size=4),
    st.sampled_from("abc"),
    st.text(st.characters(exclude_characters="*"), max_size=5),
)
def test_equality_is_of_whole_values(entry: dict[str, Any], name: str, value: str) -> None:
    """Quotes and backslashes in the value can be escaped."""
    quoted = value.replace("\\", "\\\\").replace('"', '\\"')
    equals = compile_pattern(f'{{ $.{name} = "{quoted}" }}')
    assert equals(json.dumps(entry)) is (entry.get(name) == value)


@given(st.text("ab*", max_size=8), st.text("ab", max_size=10))
def test_wildcards_match_as_a_regular_expression_would(pattern: str, value: str) -> None:
    """Anything at each `*`, and nothing else."""
    expected = re.fullmatch(pattern.replace("*", ".*"), value) is not None
    assert compile_pattern(f'{{ $.a = "{pattern}" }}')(json.dumps({"a": value})) is expected


def test_many_wildcards_take_no_time() -> None:
    """Where a regular expression would try every way."""
    matches = compile_pattern('{ $.a = "' + "*a" * 200 + '*b" }')
    assert not matches(json.dumps({"a": "a" * 10_000}))
