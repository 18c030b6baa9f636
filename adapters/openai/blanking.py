"""Room 3, the world: takes out of a provider's words what they repeat of a request.

May import: standard library.

Providers quote requests in their errors, whole or in part, escaped as in JSON or not. Content must
not reach a log (G14), so a run of characters that is also in the request is blanked. Time and
memory are linear in the texts and in the words, which are bounded before.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection

RUN_CHARS = 20
"""From this length on, a run of characters that is also in the request counts as content."""

_SHORT_TEXT_CHARS = 6
_BLANK = "[…]"
_ESCAPE = re.compile(r"\\+(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|[abfnrtv])?")
_MARKS = str.maketrans("\"'`", "   ")


def blank_repeated(words: str, texts: Collection[str]) -> str:
    """Return the words as one printable line, without what they repeat of the texts.

    Args:
        words: Of the provider; bounded by whoever calls.
        texts: Of the request. A short text counts where the words repeat all of it.
    """
    line = one_line(words)
    # First as it is meant, without escapes and quotation marks; then as it is spelled.
    for spell in (_plain, one_line):
        spelled = spell(line)
        if repeated := _repeated(spelled, texts, spell):
            line = one_line(_without(spelled, repeated))
    return line


def one_line(text: str) -> str:
    """Return the text with all that is not printable, and every run of blanks, as one blank."""
    if not text.isprintable():
        text = "".join(c if c.isprintable() else " " for c in text)
    return " ".join(text.split())


def _plain(text: str) -> str:
    return one_line(_ESCAPE.sub(_unescaped, text).translate(_MARKS))


def _unescaped(escape: re.Match[str]) -> str:
    digits = escape[1] or escape[2]
    return chr(int(digits, 16)) if digits else " "


def _repeated(words: str, texts: Collection[str], spell: Callable[[str], str]) -> set[str]:
    """Return which parts of the words are also in the texts."""
    of_words = {words[i : i + RUN_CHARS] for i in range(len(words) - RUN_CHARS + 1)}
    found: set[str] = set()
    for text in texts:
        spelled = spell(text)
        if _SHORT_TEXT_CHARS <= len(spelled) < RUN_CHARS and spelled in words:
            found.add(spelled)
        runs = (spelled[i : i + RUN_CHARS] for i in range(len(spelled) - RUN_CHARS + 1))
        found.update(run for run in runs if run in of_words)
    return found


def _without(words: str, repeated: Collection[str]) -> str:
    """Blank the parts, those that overlap as one."""
    sizes = {len(part) for part in repeated}
    kept, at, blank_until = [], 0, 0
    while at < len(words):
        ends = [at + size for size in sizes if words[at : at + size] in repeated]
        if ends and at >= blank_until:
            kept.append(_BLANK)
        blank_until = max([blank_until, *ends])
        if at >= blank_until:
            kept.append(words[at])
        at += 1
    return "".join(kept)
