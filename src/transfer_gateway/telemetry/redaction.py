"""Redacts secrets in logs, output and responses: by pattern in URLs and headers, and by value if they are known.

Patterns do not suffice: a password may contain any character, and a library may quote only a part of a URL. Values do
not suffice either: those of assumed roles change all the time, and a proxy's error page may echo what it was sent.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections import deque
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus, unquote

if TYPE_CHECKING:
    from collections.abc import Iterable

HIDDEN = "[hidden]"
_MAX_BRIEF = 32  # of those that are valid for minutes; each costs every log line
_MIN_CHARACTERS = 6  # minimum length of a known secret: shorter ones occur in ordinary words
_USERINFO = r"""//[^\s/"'<>]+@"""
_IN_TEXT, _IN_LINE = re.compile(_USERINFO), re.compile(_USERINFO.encode())
_SHOWN, _SHOWN_LINE = f"//{HIDDEN}@", f"//{HIDDEN}@".encode()
# A name, what separates it from its value in a header, JSON, XML or HTML, and the value up to a quote, tag or space.
_FIELD = r"""(?ix)
    (?<!</) (?P<name> (?: x[-_]amz[-_]security[-_]token | (?:proxy[-_])?authorization | signature
        | (?:aws[-_]?)? (?:session[-_]?token | secret[-_]?access[-_]?key) )
    (?= [\s"'\\]{0,8} (?: [:=<>&] | %3[AD] ) )
    (?: [:=>\s"'\\] | %3[AD] | %20 | &\#?\w{1,6}; | </?\w{1,12}> ){1,12}+
    (?: (?: basic | bearer | negotiate ) (?: \s | %20 | \+ ){1,4} )? )
    [^\s"'<>\\,;&]+
"""
_SHOWN_FIELD = rf"\g<name>{HIDDEN}".encode()
_FIELD_IN_TEXT, _FIELD_IN_LINE = re.compile(_FIELD), re.compile(_FIELD.encode())

_lasting: set[str] = set()
_brief: deque[set[str]] = deque(maxlen=_MAX_BRIEF)
_known: tuple[str, ...] = ()
_known_in_lines: tuple[bytes, ...] = ()


def hide(secrets: Iterable[str]) -> None:
    """From now on redact these values, also if URL-encoded, in JSON, in Python's quotes, or in base64."""
    _lasting.update(spelling for secret in secrets for spelling in _spellings(secret))
    _know()


def hide_briefly(secret: str) -> None:
    """The same for a secret that soon expires: only the latest ones are redacted."""
    _brief.append(set(_spellings(secret)))
    _know()


def _know() -> None:
    global _known, _known_in_lines  # noqa: PLW0603  global, as the log is
    _known = tuple(sorted(_lasting.union(*_brief), key=len, reverse=True))
    _known_in_lines = tuple(spelling.encode(errors="backslashreplace") for spelling in _known)


def redacted(text: str) -> str:
    """The text with secrets redacted."""
    if "//" in text and "@" in text:
        text = _IN_TEXT.sub(_SHOWN, text)
    text = _FIELD_IN_TEXT.sub(rf"\g<name>{HIDDEN}", text)
    for secret in _known:
        if secret in text:
            text = text.replace(secret, HIDDEN)
    return text


def redacted_line(line: bytes) -> bytes:
    """As `redacted`, for an encoded line."""
    if b"//" in line and b"@" in line:
        line = _IN_LINE.sub(_SHOWN_LINE, line)
    # The pattern alone is slow. Foreign text that has none of these went through `redacted` before.
    if b"oken" in line or b"uthorization" in line:
        line = _FIELD_IN_LINE.sub(_SHOWN_FIELD, line)
    for secret in _known_in_lines:
        if secret in line:
            line = line.replace(secret, HIDDEN.encode())
    return line


def _spellings(secret: str) -> Iterable[str]:
    plain = unquote(secret)
    as_header = b64encode(plain.encode(errors="surrogateescape")).decode()
    for spelling in {secret, plain, quote(plain), quote_plus(plain), quote(plain, safe=""), as_header}:
        if len(spelling) >= _MIN_CHARACTERS:
            quoted = repr(spelling)[1:-1]
            yield from (spelling, quoted)
            for text in (spelling, quoted):
                yield from (json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1])
