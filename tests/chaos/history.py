"""What clients saw, line by line, while it happens; read back when all is over.

May import: standard library, msgspec.
"""

from __future__ import annotations

import gzip
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

import msgspec

_DECODE = msgspec.json.Decoder()

Record = dict[str, Any]
"""One thing a client did or saw. `kind` says what; `t0` and `t1` are when it was asked and known,
in seconds of the monotonic clock that all processes of one machine share.

    accepted  a turn's id is known: `visitor session turn key question`
    answer    a whole reply: `session turn text status message`
    failed    a turn's failure: `session turn code`
    read      one stream: `session turn start runs position terminal text code fault`; `runs` are
              [attempt, start, text], a new one after each restart
    refused   no: `status code turn key session`; `after_stop` is the turn that was stopped before,
              `is_certain` whether nothing else can have been admitted
    stopping  somebody is about to ask for a stop: `session turn`
    stopped   a stop that was confirmed: `session turn status text`
    superseding  a question is about to be sent that may stop another: `session`
    seen      a turn as it was looked up: `session turn status text`
    page      the newest messages: `session items`; an item is [position, role, turn, content]
    replaced  an edit or regenerate that was accepted: `session turn message`
    leak      somebody was shown what is not theirs: `visitor session op`
    erased    a session that is no more: `session`
    unknown   no answer, or one that was lost: `op`
    broken    an answer that should not exist: `status code`
"""


class History:
    """A file that grows by a line a record.

    Attributes:
        counts: How many records of each kind there are.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("ab")
        self.counts: Counter[str] = Counter()

    def add(self, kind: str, **fields: Any) -> None:
        """Write one record."""
        self.counts[kind] += 1
        self._file.write(msgspec.json.encode({"kind": kind, **fields}) + b"\n")

    def flush(self) -> None:
        """Make it readable."""
        self._file.flush()


def open_kept(path: Path) -> BinaryIO:
    """Open a file of evidence, compressed or not.

    Raises:
        FileNotFoundError: It is neither.
    """
    if path.exists():
        return path.open("rb")
    return cast("BinaryIO", gzip.open(path.with_name(f"{path.name}.gz"), "rb"))


def read_lines(path: Path) -> Iterator[Record]:
    """Yield what a file of lines holds; none if there is no such file.

    A last line that was cut off by a kill is left out.
    """
    try:
        lines = open_kept(path)
    except FileNotFoundError:
        return
    with lines:
        for line in lines:
            if line.endswith(b"\n"):
                yield _DECODE.decode(line)
