"""Which characters names may have, where people and terminals read them."""

from __future__ import annotations

import unicodedata

# Control characters, line and paragraph separators, lone surrogates, and invisible ones that reorder or fake text.
_REFUSED = {"Cc", "Cf", "Cs", "Zl", "Zp"}
_JOINERS = "\u200c\u200d"  # invisible too, but some scripts and emoji need them


def control_character(text: str) -> int | None:
    """Where the first character is that a name may not have."""
    if text.isascii() and text.isprintable():
        return None
    return next((at for at, character in enumerate(text) if _is_refused(character)), None)


def without_control_characters(text: str) -> str:
    """The text with a space for each of them, and no two spaces in a row."""
    return " ".join("".join(" " if _is_refused(character) else character for character in text).split())


def escaped(text: str) -> str:
    r"""The text with `\u000a` for a line feed, and the like for all others of them."""
    if control_character(text) is None:
        return text
    return "".join(f"\\u{ord(it):04x}" if _is_refused(it) else it for it in text)


def _is_refused(character: str) -> bool:
    return unicodedata.category(character) in _REFUSED and character not in _JOINERS
