"""Making text from outside safe to print on a terminal."""

import re
import unicodedata

_TERMINAL = re.compile(
    # Strings to the terminal (OSC, DCS, SOS, PM, APC) with their end, then CSI sequences, then short escapes.
    r"(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"
    r"|(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"
    r"|\x1b[ -/]*[0-~]?"
)
_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_SPACES = frozenset("\t\n\r\v\f\x85\u2028\u2029")


def printable(text: str, limit: int = 200) -> str:
    """Return text without anything that could steer a terminal or reorder a line.

    Escape sequences, control characters, bidirectional controls and lone surrogates are dropped; line
    breaks and tabs become spaces.

    Args:
        text: Any text.
        limit: The longest result in characters; a cut text ends in an ellipsis.

    Returns:
        One line of at most `limit` characters.
    """
    # Most texts hold nothing to take out.
    line = (text if text.isprintable() else _cleaned(text)).strip()
    return line if len(line) <= limit else line[: max(limit - 1, 0)] + "…"


def _cleaned(text: str) -> str:
    kept = []
    for char in _TERMINAL.sub("", text):
        if char in _SPACES:
            kept.append(" ")
        elif char not in _BIDI and unicodedata.category(char) not in {"Cc", "Cs"}:
            kept.append(char)
    return "".join(kept)
