"""What requests to the AI SDK door mean, and which are refused.

May import: standard library, chatcore, pytest, tests.
"""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import RFC_4122, UUID

import pytest

from chatcore import LLMRejected
from tests.doors.ai_sdk.talking import CHAT, Talker, last, said, whole
from tests.http.door import UNKNOWN_ID, VISITOR_B, Door, bearer, open_door, problem_of

REGENERATE = "regenerate-message"


@pytest.fixture
def anna(door: Door) -> Talker:
    """Give somebody to talk to the door."""
    return Talker(door)


async def test_headers(anna: Talker) -> None:
    """The stream is what the client insists on, and nobody on the way holds it back."""
    answer = await anna.ask(last("one"))
    assert answer.headers["x-vercel-ai-ui-message-stream"] == "v1"
    assert answer.headers["x-accel-buffering"] == "no"
    assert answer.headers["cache-control"] == "no-cache, no-transform"


async def test_a_question_sent_again(door: Door, anna: Talker) -> None:
    """G2: the same name with the same text is the same question, in either shape."""
    first = await anna.ask(last("one"))
    for body in (last("one"), whole(said("one")), whole(said("one"), trigger="submit-message")):
        again = await anna.ask(body)
        assert (again.name, again.text) == (first.name, first.text)
    assert len(door.llm.requests) == 1
    assert await anna.texts() == ["one", "You asked: one"]


@pytest.mark.parametrize("how", ["ask", "edit", "regenerate"])
async def test_a_question_sent_twice_at_once(door: Door, anna: Talker, how: str) -> None:
    """G2: of two that race, one turn comes, and both get its answer."""
    body = last("one")
    if how != "ask":
        first = await anna.ask(last("zero"))
        body = last("one") if how == "edit" else last("zero", trigger=REGENERATE)
        body["messageId"] = "m1" if how == "edit" else first.name
    before = len(door.llm.requests)
    answers = await asyncio.gather(*[anna.ask(body) for _ in range(4)])
    assert len({answer.name for answer in answers}) == 1
    assert len(door.llm.requests) == before + 1
    assert len(await anna.history()) == 2


async def test_two_edits_at_once(anna: Talker) -> None:
    """Two different texts for one question: one follows the other, neither is refused."""
    await anna.ask(last("one"))
    await asyncio.gather(anna.ask(last("two")), anna.ask(last("three")))
    assert (await anna.texts())[0] in {"two", "three"}
    assert len(await anna.history()) == 2


async def test_one_name_for_two_texts(anna: Talker) -> None:
    """A known name with another text is an edit, named as one or not, however often it is sent."""
    await anna.ask(last("one"))
    await anna.ask(last("two", "m2"))
    first = await anna.ask(last("other"))
    again = await anna.ask(last("other"))
    assert first.name == again.name
    assert await anna.texts() == ["other", "You asked: other"]


async def test_an_edit_that_changes_nothing(door: Door, anna: Talker) -> None:
    """Naming a question whose turn has ended answers it again; while it runs, it is joined."""
    said = door.llm.dictate()
    running = asyncio.create_task(anna.ask(last("one")))
    await door.llm.asked.wait()
    joined = asyncio.create_task(anna.ask(last("one", messageId="m1")))
    await asyncio.sleep(0.05)
    said.say("first")
    said.end()
    assert (await joined).name == (await running).name
    again = await anna.ask(last("one", messageId="m1"))
    assert again.name != (await running).name
    assert await anna.texts() == ["one", "You asked: one"]


async def test_what_can_be_named_to_have_it_again(door: Door, anna: Talker) -> None:
    """The answer's name, the question's, or none: with or without the messages."""
    name = (await anna.ask(last("one"))).name
    for more in (
        {"messageId": name},
        {"messageId": "m1"},
        {"messageId": "never seen"},
        {},
        {"message": None, "messageId": "m1"},
        {"message": None, "messages": [said("one"), said("old", name, "assistant")]},
    ):
        answer = await anna.ask(last("one", trigger=REGENERATE) | more)
        assert answer.name != name
        name = answer.name
    assert len(door.llm.requests) == 7
    assert await anna.texts() == ["one", "You asked: one"]


async def test_regenerating_what_runs(door: Door, anna: Talker) -> None:
    """It is stopped and asked again, and whoever followed it is told."""
    dictation = door.llm.dictate()
    running = asyncio.create_task(anna.ask(last("one")))
    await door.llm.asked.wait()
    dictation.say("half")
    again = await anna.ask(last("one", trigger=REGENERATE))
    assert (await running).parts[-1] == {"type": "abort", "reason": "stopped"}
    assert (await anna.history())[-1]["id"] == again.name


async def test_a_question_while_another_is_answered(door: Door, anna: Talker) -> None:
    """G3: the running answer makes room, whatever it is for: a question, an edit, a cut."""
    one = await anna.ask(last("one"))
    shown = [said("one"), said("x", one.name, "assistant")]
    for body in (last("two", "m9"), last("other", "m2"), whole(*shown, said("cut", "m3"))):
        dictation = door.llm.dictate()
        door.llm.asked.clear()
        running = asyncio.create_task(anna.ask(last("busy", "m2", messageId="m2")))
        await door.llm.asked.wait()
        dictation.say("half")
        await anna.ask(body)
        assert (await running).parts[-1]["type"] == "abort"
    assert (await anna.texts())[-2:] == ["cut", "You asked: cut"]


async def test_a_question_of_another_door_keeps_its_name(door: Door, anna: Talker) -> None:
    """What it is called at first it is called when it was edited, or answered again."""
    headers = bearer("visitor-" + "a" * 32)
    begun = await door.client.post("/chat", json={"message": "one"}, headers=headers)
    chat = begun.json()["session_id"]
    question, reply = [message["id"] for message in await anna.history(chat)]
    assert reply == begun.json()["turn_id"]
    for more in ({"messageId": reply}, {}, {"trigger": "submit-message"}):
        body = last("one", question, trigger=REGENERATE) | {"id": chat} | more
        await anna.ask(body)
        assert (await anna.history(chat))[0]["id"] == question
    await anna.ask(last("other", question) | {"id": chat})
    assert (await anna.history(chat))[0]["id"] == question
    by_reply = {"id": chat, "trigger": REGENERATE, "messageId": (await anna.history(chat))[1]["id"]}
    await anna.ask(by_reply)
    assert (await anna.history(chat))[0]["id"] == question


async def test_asking_again_what_was_dropped(anna: Talker) -> None:
    """A page that has not seen what another did gets its answer, at the end of what is there."""
    await anna.ask(last("one"))
    old = await anna.ask(last("two", "m2"))
    await anna.ask(last("other", "m1"))
    assert (await anna.ask(last("two", "m2"))).name == old.name
    again = await anna.ask(last("two", "m2", trigger=REGENERATE))
    assert await anna.texts() == ["other", "You asked: other", "two", "You asked: two"]
    assert (await anna.history())[-1]["id"] == again.name
    await anna.ask(last("first", "m1"))
    await anna.ask(last("changed", "m2"))
    assert await anna.texts() == ["first", "You asked: first", "changed", "You asked: changed"]


async def test_a_cut_history(door: Door, anna: Talker) -> None:
    """Where a client's screen ends earlier than ours, the rest counts no more."""
    one = await anna.ask(last("one"))
    await anna.ask(last("two", "m2"))
    await anna.ask(last("three", "m3"))
    shown = [said("one"), said("believed?", one.name, "assistant")]
    body = whole(*shown, said("other", "m4"))
    first, again = await asyncio.gather(anna.ask(body), anna.ask(body))
    assert first.name == again.name
    assert await anna.texts() == ["one", "You asked: one", "other", "You asked: other"]
    assert [message["id"] for message in await anna.history()] == ["m1", one.name, "m4", first.name]
    assert b"believed?" not in door.llm.requests[-1].body


async def test_a_cut_after_a_question_without_an_answer(door: Door, anna: Talker) -> None:
    """A question that failed is part of the screen: what comes after it takes no one's place."""
    one = await anna.ask(last("one"))
    door.llm.script(LLMRejected(""))
    failed = await anna.ask(last("two", "m2"))
    empty = {"id": failed.name, "role": "assistant", "parts": []}
    shown = [said("one"), said("x", one.name, "assistant"), said("two", "m2"), empty]
    await anna.ask(whole(*shown, said("three", "m3")))
    assert (await anna.texts())[::2] == ["one", "two", "You asked: three"]
    await anna.ask(whole(*shown[:3], said("four", "m4")))
    assert await anna.texts() == ["one", "You asked: one", "two", "four", "You asked: four"]


async def test_screens_that_tell_nothing(anna: Talker) -> None:
    """Who shows only a question, or what nobody knows, or what is gone, cuts nothing."""
    one = await anna.ask(last("one"))
    await anna.ask(whole(said("two", "m2")))
    odd = [said("x", "a\0"), said("x", "n" * 300), said("x", ""), said("x", None)]
    await anna.ask(whole(*odd, said("y", UNKNOWN_ID, "assistant"), said("three", "m3")))
    await anna.ask(last("three", "m3", messageId="a\0", trigger=REGENERATE))
    assert (await anna.texts())[::2] == ["one", "two", "three"]
    await anna.ask(last("one", trigger=REGENERATE, messageId=one.name))
    await anna.ask(whole(said("one"), said("x", one.name, "assistant"), said("four", "m4")))
    assert (await anna.texts())[::2] == ["one", "four"]


async def test_a_cut_far_back(anna: Talker) -> None:
    """However much was said since, and whatever of it was replaced."""
    one = await anna.ask(last("one"))
    for number in range(60):
        await anna.ask(last("again", f"m{2 + number}"))
        await anna.ask(last("and again", f"m{2 + number}"))
    await anna.ask(whole(said("one"), said("x", one.name, "assistant"), said("end", "end")))
    assert await anna.texts() == ["one", "You asked: one", "end", "You asked: end"]


async def test_messages_without_names(door: Door, anna: Talker) -> None:
    """Whoever writes requests by hand needs no names; each one is then a question of its own."""
    await anna.ask(last("one", None))
    await anna.ask(last("one", None))
    await anna.ask(last("one", None, trigger=REGENERATE))
    assert (await anna.texts())[::2] == ["one", "one"]
    assert all(message["id"] for message in await anna.history())


async def test_fields_of_tomorrow(anna: Talker) -> None:
    """What applications add, and parts of other kinds, are let through and left alone."""
    parts = [
        {"type": "step-start"},
        {"type": "text", "text": "one", "state": "done", "providerMetadata": {"x": {}}},
        {"type": "tool-search", "text": 7, "input": {"deep": [[]]}},
        {"type": "text", "text": "two"},
    ]
    message = {"id": "m1", "role": "user", "parts": parts, "metadata": {"x": 1}, "createdAt": "x"}
    await anna.ask({"id": CHAT, "message": message, "model": "gpt", "data": [1], "messageId": None})
    assert (await anna.texts())[0] == "one\n\ntwo"


async def test_passages(door: Door, anna: Talker) -> None:
    """A passage stays with its question until the client says otherwise."""
    passage = {"text": "gears", "title": "Gears", "url": None, "anchor": None}
    await anna.ask(last("one", selected_text={"text": "gears", "title": "Gears"}))
    await anna.ask(last("one", trigger=REGENERATE))
    assert (await anna.history())[0]["metadata"]["selected_text"] == passage
    await anna.ask(last("other"))
    assert (await anna.history())[0]["metadata"]["selected_text"] == passage
    calls = len(door.llm.requests)
    await anna.ask(last("other", selected_text=passage))
    assert len(door.llm.requests) == calls
    await anna.ask(last("other", selected_text=None))
    assert "selected_text" not in (await anna.history())[0]["metadata"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "id"),
        ({"id": CHAT}, "messages"),
        ({"id": CHAT, "messages": 5, "model": "gpt", "data": [1]}, "messages"),
        (whole(), "messages"),
        (whole(trigger=REGENERATE), "messages"),
        (whole(trigger=REGENERATE, messageId="m1"), "messageId"),
        (whole(said("x", "a", "assistant"), trigger=REGENERATE), "messages"),
        (whole(said("one"), said("x", "a", "assistant")), "messages"),
        ({"id": CHAT, "message": said("x", "a", "assistant")}, "messages"),
        ({"id": CHAT, "message": said("x", role="tool")}, "message.role"),
        ({"id": CHAT, "message": {"role": "user", "parts": []}}, "message.parts"),
        ({"id": CHAT, "message": {"role": "user"}}, "message.parts"),
        ({"id": CHAT, "message": {"role": "user", "parts": [{"type": "file"}]}}, "message.parts"),
        (
            {"id": CHAT, "message": {"role": "user", "parts": [{"type": "text", "text": 1}]}},
            "message.parts",
        ),
        (last(" "), "message"),
        (last("a\0"), "message"),
        (last("one", "n" * 256), "client_id"),
        (last("one", "a\0"), "client_id"),
        (last("one", trigger="resume"), "trigger"),
        (last("one", selected_text=""), "selected_text"),
        (last("one") | {"id": ""}, "id"),
        (last("one") | {"id": "x" * 256}, "id"),
        (last("one") | {"id": ".."}, "id"),
        (last("one") | {"id": "a/b"}, "id"),
        (last("one") | {"id": 7}, "id"),
    ],
)
async def test_what_is_refused(door: Door, anna: Talker, body: Any, field: str) -> None:
    """G14: a clear 422 that changes nothing."""
    answer = await anna.post(body)
    assert answer.status_code == 422
    assert [error["field"] for error in problem_of(answer)["errors"]] == [field]
    assert door.repository.is_empty


async def test_other_refusals(door: Door, anna: Talker) -> None:
    """The rules of every body of ours: content type, size, JSON, depth."""
    headers = {"content-type": "application/json"}
    for body, code in (
        (b"", "malformed_json"),
        (b"{", "malformed_json"),
        (b'{"id":"a","id":"b"}', "malformed_json"),
        (b'{"id":' + b"[" * 40 + b"]" * 40 + b"}", "malformed_json"),
        (b'{"id":"\xff"}', "malformed_json"),
        (b'{"id":"\\ud800"}', "invalid_request"),
        (b'"' + b"x" * 300_000 + b'"', "body_too_large"),
    ):
        answer = await door.client.post("/api/chat", content=body, headers=headers)
        assert problem_of(answer)["code"] == code
    answer = await door.client.post("/api/chat", content=b"{}", headers={"content-type": "text/x"})
    assert answer.status_code == 415
    answer = await door.client.get(f"/api/chat/{CHAT}", headers={"authorization": "Basic x"})
    assert answer.status_code == 401
    assert door.repository.is_empty


async def test_a_crowd() -> None:
    """Questions are refused while there is too much to do; stopping is not."""
    async with open_door(MAX_RUNNING_TURNS="1") as crowded:
        ben = Talker(crowded)
        crowded.llm.dictate()
        running = asyncio.create_task(ben.ask(last("one")))
        await crowded.llm.asked.wait()
        refused = await ben.post({**last("one"), "id": "another" + CHAT})
        assert problem_of(refused)["code"] == "service_overloaded"
        assert (await ben.post({}, f"/{CHAT}/stop")).status_code == 200
        await running


async def test_stopping(door: Door, anna: Talker) -> None:
    """Stopping is safe to repeat, and a late one does not hit what came after."""
    for body in ({}, None, {"activeStreamId": None, "assistantMessage": {"parts": [1]}}):
        answer = await anna.post(body, f"/{CHAT}/stop")
        assert (answer.status_code, answer.json()) == (200, {"success": True})
    old = await anna.ask(last("one"))
    dictation = door.llm.dictate()
    door.llm.asked.clear()
    running = asyncio.create_task(anna.ask(last("two", "m2")))
    await door.llm.asked.wait()
    dictation.say("half")
    await anna.post({"activeStreamId": old.name}, f"/{CHAT}/stop")
    assert (await anna.history())[-1]["metadata"]["status"] == "running"
    name = (await anna.history())[-1]["metadata"]["turn_id"]
    await anna.post({"activeStreamId": name}, f"/{CHAT}/stop")
    assert (await running).parts[-1]["type"] == "abort"
    empty = await door.client.post(f"/api/chat/{CHAT}/stop", headers=bearer(VISITOR_B))
    assert empty.json() == {"success": True}


async def test_strangers(door: Door, anna: Talker) -> None:
    """G11: a chat of somebody else is answered exactly like one that nobody has."""
    session = (await anna.ask(last("one"))).session
    dictation = door.llm.dictate()
    door.llm.asked.clear()
    running = asyncio.create_task(anna.ask(last("two", "m2")))
    await door.llm.asked.wait()
    ben, public = Talker(door, VISITOR_B), Talker(door, None)
    for stranger in (ben, public):
        for path in ("/{}", "/{}/stream"):
            theirs = [await stranger.get(path.format(chat)) for chat in (CHAT, session, UNKNOWN_ID)]
            assert len({(answer.status_code, answer.content) for answer in theirs}) == 1
        assert (await stranger.get(f"/{session}/stream")).status_code == 204
        await stranger.post({}, f"/{session}/stop")
        await stranger.post({}, f"/{CHAT}/stop")
    assert not running.done()
    stolen = await ben.ask(last("mine", "m1", trigger=REGENERATE) | {"id": session})
    assert stolen.session != session
    dictation.end()
    await running
    assert await anna.texts() == ["one", "You asked: one", "two"]


async def test_ids_of_sessions(door: Door, anna: Talker) -> None:
    """They are made of owner and chat, in the form that RFC 9562 has for ids made so."""
    people = (anna, Talker(door, VISITOR_B), Talker(door, None))
    chats = (CHAT, CHAT + "2")
    found = [(await each.ask(last("one") | {"id": c})).session for each in people for c in chats]
    assert len(set(found)) == 6
    assert {UUID(session).version for session in found} == {8}
    assert {UUID(session).variant for session in found} == {RFC_4122}
    assert found[0] == (await anna.ask(last("two", "m2"))).session


async def test_chats_of_everybody(door: Door) -> None:
    """Without a credential a chat id is the right to the chat, so it must be hard to guess."""
    public = Talker(door, None)
    answer = await public.post(last("one") | {"id": "x" * 15})
    assert "visitor token" in problem_of(answer)["errors"][0]["reason"]
    await public.ask(last("one") | {"id": "x" * 16})
    assert await public.texts("x" * 16) == ["one", "You asked: one"]
    assert (await public.get("/short/stream")).status_code == 204
    assert await public.history("short") == []


async def test_odd_chat_ids(anna: Talker) -> None:
    """Whatever a segment of an address can carry is a chat id."""
    for chat in ("a b", "a%b", "ä😀", "a?b#c", "a\\b", "stream", "a:b;c", "<script>"):
        await anna.ask(last(chat) | {"id": chat})
    for chat in ("a%20b", "a%25b", "%C3%A4%F0%9F%98%80", "a%3Fb%23c", "a%5Cb", "stream"):
        assert len(await anna.history(chat)) == 2, chat
        assert (await anna.get(f"/{chat}/stream")).status_code == 204


async def test_long_histories(door: Door, anna: Talker) -> None:
    """The newest 200 messages that count, whole turns, however many do not count."""
    for number in range(105):
        await anna.ask(last(f"draft {number}", f"m{number}"))
        await anna.ask(last(f"{number}", f"m{number}"))
    shown = await anna.history()
    assert [message["id"] for message in shown[::2]] == [f"m{n}" for n in range(5, 105)]
    assert len(shown) == 200
    assert {message["metadata"]["status"] for message in shown} == {"completed"}


async def test_a_chat_is_a_session(door: Door, anna: Talker) -> None:
    """What was said here is listed, titled and readable at the service's own door."""
    session = (await anna.ask(last("one"))).session
    headers = bearer("visitor-" + "a" * 32)
    found = (await door.client.get(f"/sessions/{session}", headers=headers)).json()
    assert found["title"] == "one"
    assert await anna.history(session) == await anna.history(CHAT)
    more = {"message": "two", "session_id": session}
    await door.client.post("/chat", json=more, headers=headers)
    await anna.ask(last("three", "m3") | {"id": session})
    assert (await anna.texts())[::2] == ["one", "two", "three"]
