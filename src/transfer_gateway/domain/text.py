"""Characters that names may not contain, since people and terminals read them."""

from __future__ import annotations

import re
import unicodedata

# Control characters, line and paragraph separators, lone surrogates, and invisible ones that reorder or fake text.
_REFUSED = {"Cc", "Cf", "Cs", "Zl", "Zp"}
# Unicode's ignorable letters and marks, and Braille's blank: they take no ink, and fake an empty or another's name.
_INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2065\u2800\u3164\uffa0\ufff0-\ufff8\U000e0000-\U000e0fff]"
)
_JOINERS = "\u200c\u200d"  # invisible too, but some scripts and emoji need them


def control_character(text: str) -> int | None:
    """The index of the first such character; None without one."""
    if text.isascii() and text.isprintable():
        return None
    return next((at for at, character in enumerate(text) if _is_refused(character)), None)


def without_control_characters(text: str) -> str:
    """The text with each of them replaced by a space, and runs of spaces collapsed."""
    return " ".join("".join(" " if _is_refused(character) else character for character in text).split())


def escaped(text: str) -> str:
    r"""The text with each of them escaped, such as a line feed as `\u000a`."""
    if control_character(text) is None:
        return text
    return "".join(f"\\u{ord(it):04x}" if _is_refused(it) else it for it in text)


def shortened(text: str, max_characters: int) -> str:
    """The text, or its beginning and its end, as messages often quote a value in their middle."""
    if len(text) <= max_characters:
        return text
    half = (max_characters - 1) // 2
    return f"{text[:half]}…{text[-half:]}"


def _is_refused(character: str) -> bool:
    if unicodedata.category(character) in _REFUSED:
        return character not in _JOINERS
    return _INVISIBLE.match(character) is not None


def is_blank(text: str) -> bool:
    """Whether nothing of the text is visible."""
    return not any(unicodedata.category(it)[0] in "LNPS" for it in text)
