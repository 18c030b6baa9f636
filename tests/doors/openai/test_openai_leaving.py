"""An answer that is not kept, and a client that does not read it.

May import: standard library, adapters, app, chatcore, tests.
"""

from __future__ import annotations

import asyncio

from adapters.memory import ScriptedLLM
from adapters.memory.llm import ScriptedAnswer
from app.doors.openai.leaving import Pump
from chatcore import ChatPolicy, LLMDelta, LLMEnded, PromptMessage, Role
from tests.builders import bench

HELLO = [PromptMessage(Role.USER, "hello")]
MANY = 2_000


async def test_who_does_not_read_takes_nobodys_place() -> None:
    """The call of the model ends when the model is done, and so does its place among the turns."""
    llm = ScriptedLLM([ScriptedAnswer(("x",) * MANY), "free"])
    service = bench(llm, policy=ChatPolicy(max_running_turns=1)).service
    pump = Pump(service.stream_once(HELLO))
    async with asyncio.timeout(5):
        while not llm.requests or llm.running:
            await asyncio.sleep(0)
    assert (await service.complete_once(HELLO)).text == "free"
    events = [await pump.next_event() for _ in range(MANY + 2)]
    assert [event.text for event in events if isinstance(event, LLMDelta)] == ["x"] * MANY
    assert isinstance(events[-1], LLMEnded)
    await pump.close()
