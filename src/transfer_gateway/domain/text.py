"""Characters that names may not contain, since people and terminals read them."""

from __future__ import annotations

import unicodedata

# Control characters, line and paragraph separators, lone surrogates, and invisible ones that reorder or fake text.
_REFUSED = {"Cc", "Cf", "Cs", "Zl", "Zp"}
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


def _is_refused(character: str) -> bool:
    return unicodedata.category(character) in _REFUSED and character not in _JOINERS
