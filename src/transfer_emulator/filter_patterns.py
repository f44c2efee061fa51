"""CloudWatch Logs' filter patterns: terms, and conditions on JSON.

Source: AWS's "Filter pattern syntax". Not emulated, and refused: regular expressions (`%…%`) and space-delimited
patterns (`[…]`).

    terms       word "exact phrase" ?any-of -excluded
    JSON        { ($.a.b[0] = "x*" || $.n >= 3) && $.c NOT EXISTS }
"""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeAlias

import orjson

from transfer_emulator.errors import INVALID_PARAMETER, AwsError

Matcher: TypeAlias = Callable[[str], bool]
Condition: TypeAlias = Callable[[object], bool]

_MISSING = object()
_MAX_DEPTH = 50
_TERM = re.compile(r'\s*([?-]?)(?:"((?:[^"\\]|\\.)*)"|([^\s"]+))(?=\s|$)')
_WORD = re.compile(r"\w+", re.ASCII)
_TOKEN = re.compile(
    r"""\s*(?:(?P<path>\$(?:\.[\w-]+|\[\d+\]|\['[^']+'\])+)|(?P<text>"(?:[^"\\]|\\.)*")"""
    r"""|(?P<sign>&&|\|\||<=|>=|!=|[()=<>])|(?P<word>[^\s()&|=<>!"]+))""",
    re.ASCII,
)
_STEP = re.compile(r"\.([\w-]+)|\[(\d+)\]|\['([^']+)'\]", re.ASCII)


@lru_cache(maxsize=1_024)
def compile_pattern(pattern: str) -> Matcher:
    """Compile to a function of the message. Raises: AwsError (INVALID_PARAMETER)."""
    text = pattern.strip()
    if not text:
        return lambda _message: True
    if text.startswith("{"):
        return _json_matcher(text)
    if text[0] in "[%":
        raise _invalid("space-delimited patterns and regular expressions are not emulated")
    return _terms_matcher(text)


def _terms_matcher(text: str) -> Matcher:
    required: list[str] = []
    optional: list[str] = []
    excluded: list[str] = []
    at = 0
    while at < len(text):
        if (term := _TERM.match(text, at)) is None:
            raise _invalid(f"unexpected text at {text[at:][:40]!r}")
        sign, phrase, word = term.groups()
        if word is not None and not _WORD.fullmatch(word):
            raise _invalid(f"Invalid character(s) in term '{word}'")
        found = word if word is not None else _unquoted(phrase)
        {"": required, "?": optional, "-": excluded}[sign].append(found)
        at = term.end()

    def matches(message: str) -> bool:
        return (
            all(term in message for term in required)
            and not any(term in message for term in excluded)
            # AWS ignores optional terms beside required ones.
            and (bool(required) or not optional or any(term in message for term in optional))
        )

    return matches


def _json_matcher(text: str) -> Matcher:
    if not text.endswith("}"):
        raise _invalid("a JSON pattern must end with '}'")
    condition = _JsonParser(text[1:-1]).parse()

    def matches(message: str) -> bool:
        try:
            document = orjson.loads(message)
        except orjson.JSONDecodeError:
            return False
        return isinstance(document, dict) and condition(document)

    return matches


class _JsonParser:
    """Recursive descent; `&&` binds more tightly than `||`."""

    def __init__(self, text: str) -> None:
        self._tokens: list[tuple[str, str]] = []
        at, text = 0, text.strip()
        while at < len(text):
            if (token := _TOKEN.match(text, at)) is None:
                raise _invalid(f"unexpected text at {text[at:][:40]!r}")
            self._tokens.append((token.lastgroup or "", token.group(token.lastgroup or 0)))
            at = token.end()
        self._at = 0
        self._depth = 0

    def parse(self) -> Condition:
        condition = self._any()
        if self._at < len(self._tokens):
            raise _invalid(f"unexpected {self._peek()!r}")
        return condition

    def _peek(self) -> str:
        return self._tokens[self._at][1] if self._at < len(self._tokens) else ""

    def _take(self, *kinds: str) -> tuple[str, str]:
        kind, text = self._tokens[self._at] if self._at < len(self._tokens) else ("end", "its end")
        if kind not in kinds:
            raise _invalid(f"unexpected {text!r}")
        self._at += 1
        return kind, text

    def _any(self) -> Condition:
        parts = [self._all()]
        while self._peek() == "||":
            self._at += 1
            parts.append(self._all())
        return parts[0] if len(parts) == 1 else lambda document: any(part(document) for part in parts)

    def _all(self) -> Condition:
        parts = [self._one()]
        while self._peek() == "&&":
            self._at += 1
            parts.append(self._one())
        return parts[0] if len(parts) == 1 else lambda document: all(part(document) for part in parts)

    def _one(self) -> Condition:
        if self._peek() == "(":
            self._at += 1
            self._depth += 1
            if self._depth > _MAX_DEPTH:
                raise _invalid("too many nested parentheses")
            condition = self._any()
            if self._peek() != ")":
                raise _invalid("a parenthesis is not closed")
            self._at += 1
            self._depth -= 1
            return condition
        _, path = self._take("path")
        steps = [name or quoted or int(index) for name, index, quoted in _STEP.findall(path)]
        kind, operator = self._take("sign", "word")
        test = self._keyword(operator) if kind == "word" else self._comparison(operator)
        return lambda document: test(_value_at(document, steps))

    def _keyword(self, word: str) -> Condition:
        if word == "EXISTS":
            return lambda value: value is not _MISSING
        _, second = self._take("word")
        match word, second:
            case "NOT", "EXISTS":
                return lambda value: value is _MISSING
            case "IS", "NULL":
                return lambda value: value is None
            case "IS", "TRUE":
                return lambda value: value is True
            case "IS", "FALSE":
                return lambda value: value is False
        raise _invalid(f"unexpected {word!r}")

    def _comparison(self, operator: str) -> Condition:
        kind, text = self._take("text", "word")
        if operator in "()" or operator in {"&&", "||"}:
            raise _invalid(f"unexpected {operator!r}")
        if kind == "word" and text.startswith("%"):
            raise _invalid("regular expressions are not emulated")
        number = _number(text) if kind == "word" else None
        if operator not in {"=", "!="}:
            if number is None:
                raise _invalid(f"{operator} requires a number")
            return _ordered(operator, number)
        equals = _text_matcher(_unquoted(text[1:-1]) if kind == "text" else text)

        def is_equal(value: object) -> bool:
            if isinstance(value, str):
                return equals(value)
            if isinstance(value, int | float) and not isinstance(value, bool):
                return number == value
            return False

        if operator == "=":
            return is_equal
        return lambda value: isinstance(value, str | int | float) and not is_equal(value)


def _text_matcher(text: str) -> Matcher:
    """With `*` for any text. Without backtracking, however many there are."""
    first, *rest = text.split("*")
    if not rest:
        return lambda value: value == text
    *inner, last = rest

    def matches(value: str) -> bool:
        end = len(value) - len(last)
        if end < len(first) or not (value.startswith(first) and value.endswith(last)):
            return False
        at = len(first)
        for part in inner:
            if (found := value.find(part, at, end)) < 0:
                return False
            at = found + len(part)
        return True

    return matches


def _ordered(operator: str, number: float) -> Condition:
    def test(value: object) -> bool:
        if not isinstance(value, int | float) or isinstance(value, bool):
            return False
        return {
            "<": value < number,
            ">": value > number,
            "<=": value <= number,
            ">=": value >= number,
        }[operator]

    return test


def _value_at(document: object, steps: list[str | int]) -> object:
    value: Any = document
    for step in steps:
        # A name selects from an object, an index from an array.
        is_there = step in value if isinstance(value, dict) else _has_index(value, step)
        if not is_there:
            return _MISSING
        value = value[step]
    return value


def _has_index(value: object, step: str | int) -> bool:
    return isinstance(value, list) and isinstance(step, int) and step < len(value)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)


def _invalid(why: str) -> AwsError:
    return AwsError(INVALID_PARAMETER, f"Invalid filter pattern: {why}")
