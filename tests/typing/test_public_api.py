"""The public names keep their types: correct use is accepted, wrong use is reported.

May import: standard library, pytest, tests.architecture.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.source_tree import ROOT

# Each line that ends in a comment `! code` must be reported with that code, and no other line.
WRONG = """
import asyncio
from datetime import datetime
from uuid import UUID, uuid4

from chatcore import (
    ChatPolicy, ChatRepository, ChatService, Clock, IdSource, LLMPort, LLMReply, Message, OwnerId,
    PreparedRequest, Prompt, SessionId, Turn, TurnId, TurnObserver,
)


class Naive(Clock):
    def now(self) -> str:  # ! override
        return "noon"


class Unrelated:
    def new_id(self) -> int:
        return 1


class Half(LLMPort):
    def prepare(self, prompt: Prompt, *, stream: bool) -> PreparedRequest:
        return PreparedRequest(prompt=prompt, body="text", stream=stream)  # ! arg-type


class Positional(Half):
    async def complete(self, request: PreparedRequest, extra: int) -> LLMReply:  # ! override
        raise NotImplementedError


async def use(
    repository: ChatRepository, llm: LLMPort, clock: Clock, ids: IdSource, observer: TurnObserver
) -> None:
    ChatService(repository=repository, llm=llm, clock=clock, ids=ids)  # ! call-arg
    ChatService(
        repository=repository,
        llm=repository,  # ! arg-type
        clock=clock,
        ids=Unrelated(),  # ! arg-type
        observer=observer,
    )
    Half()  # ! abstract
    service = ChatService(
        repository=repository, llm=llm, clock=clock, ids=ids, observer=observer
    )
    await service.send("somebody", "text")  # ! arg-type
    owner, session, turn = OwnerId("somebody"), SessionId(uuid4()), TurnId(uuid4())
    await service.turn(owner, turn, session)  # ! arg-type
    await service.session(owner, uuid4())  # ! arg-type
    await service.sessions(owner, 10)  # ! call-arg
    await service.messages(owner, session, limit="all")  # ! arg-type
    service.start_session(owner)  # ! attr-defined
    answer = await service.send(owner, "text")
    await service.stream(owner, "text", on_busy="supersede")  # ! arg-type
    await service.follow(owner, session, turn, after="1.2")  # ! arg-type
    answer.repeated = True  # ! misc
    answer.reply.content  # ! union-attr
    answer.turn.reply.content  # ! union-attr
    ChatPolicy(history="long")  # ! call-arg
    from chatcore import chat_about  # ! attr-defined
"""


def run_mypy(folder: Path, *files: Path) -> subprocess.CompletedProcess[str]:
    """Run mypy as a strict importer would: from elsewhere, with no settings of ours."""
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--python-version=3.11"]
    command += ["--no-error-summary", "--hide-error-context", "--no-pretty", *map(str, files)]
    environment = {"MYPYPATH": str(ROOT)}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.timeout(300)
def test_correct_use(tmp_path: Path) -> None:
    """Importers' own adapters, and calls of every method, type-check under `--strict`."""
    report = run_mypy(tmp_path, ROOT / "tests" / "typing" / "public_api.py")
    assert (report.returncode, report.stdout) == (0, ""), report.stdout + report.stderr


@pytest.mark.timeout(300)
def test_wrong_use(tmp_path: Path) -> None:
    """Every planted mistake is reported on its line, and nothing but the mistakes."""
    planted = tmp_path / "wrong.py"
    planted.write_text(WRONG, "utf-8")
    report = run_mypy(tmp_path, planted)
    found = re.findall(r"^wrong\.py:(\d+): error: .*\[([\w-]+)\]$", report.stdout, re.MULTILINE)
    expected = [
        (str(number), line.partition("# ! ")[2])
        for number, line in enumerate(WRONG.splitlines(), start=1)
        if "# ! " in line
    ]
    assert sorted(set(found)) == sorted(expected), report.stdout
