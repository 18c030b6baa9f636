"""Replies as HTML: what they look like, that nothing in them is dangerous, that none is slow.

May import: standard library, app, chatcore, hypothesis, markdown_it, pytest, tests.
"""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it.token import Token

from app.http.markdown import MOST_CHARS, Markdown, Parser, plain, render
from chatcore import Message, MessageId, Role, SessionId, TurnId, TurnStatus
from tests.http.door import VISITOR_A, VISITOR_B, Door, bearer, problem_of
from tests.markup import HOSTILE, faults_of, read

LINK = '<a href="{}" rel="noopener noreferrer nofollow" target="_blank">{}</a>'
PIECES = st.sampled_from(
    [
        *HOSTILE,
        *"[]()<>*_`~!\\&#|:;\"'=-+/. \n\t\r\x00\x0b\x85\u2028\u202e\ud83dé",
        "javascript:",
        "\n\n",
        "```",
        "[a]: ",
        "](",
        "<a href=",
        "http://",
        "1. ",
        "> ",
        "|-|",
        "&#x3c;",
        "&lt",
    ]
)
MARKDOWN = st.lists(PIECES, max_size=30).map("".join) | st.text()
# Each was slow, or became far more HTML than it is text, with the parser as it comes; or looked so.
INTRICATE = {
    "brackets": "[" * MOST_CHARS,
    "links in links": "[a](" * (MOST_CHARS // 4),
    "pairs of brackets": "[" * (MOST_CHARS // 2) + "]" * (MOST_CHARS // 2),
    "quotes in quotes": ">" * MOST_CHARS,
    "lazy lines of quotes": "> " * 20 + "a\n" + "b\n" * (MOST_CHARS // 2 - 30),
    "lists in lists": "- " * (MOST_CHARS // 2),
    "items": "- a\n" * (MOST_CHARS // 4),
    "deeper and deeper": "".join("  " * depth + "- a\n" for depth in range(240)),
    "cells": ("|a" * 100 + "\n" + "|-" * 100 + "\n" + "b\n" * 650 + "\n") * 35,
    "one wide table": "|a" * 200 + "\n" + "|-" * 200 + "\n" + "b\n" * 29_000,
    "one long address": "[a]: http://" + "x" * 30_000 + "\n\n" + "[a]" * 9_000,
    "backticks": "`".join("`" * length for length in range(1, 340)),
    "more backticks": "`a``b" * (MOST_CHARS // 5),
    "stars": "*a **b " * 4_000 + " c** d*" * 4_000,
    "underscores": "*a_ " * (MOST_CHARS // 4),
    "tildes": "~~a " * (MOST_CHARS // 4),
    "addresses": "[a]: http://x\n" * 4_000,
    "labels over lines": "[\n" * (MOST_CHARS // 2),
    "entities": "&" * MOST_CHARS,
    "angles": "<a@" * (MOST_CHARS // 3),
}


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("a *b* **c** ~~d~~", "<p>a <em>b</em> <strong>c</strong> <s>d</s></p>\n"),
        ("a  \nb\nc", "<p>a<br />\nb\nc</p>\n"),
        ("## a\n\n---", "<h2>a</h2>\n<hr />\n"),
        ("`a<b`", "<p><code>a&lt;b</code></p>\n"),
        ("```py\na<b\n```", '<pre><code class="language-py">a&lt;b\n</code></pre>\n'),
        ('```c++ " x=y\na\n```', '<pre><code class="language-c++">a\n</code></pre>\n'),
        ("```<b>\na\n```", "<pre><code>a\n</code></pre>\n"),
        ("> a", "<blockquote>\n<p>a</p>\n</blockquote>\n"),
        ("3. a\n4. b", '<ol start="3">\n<li>a</li>\n<li>b</li>\n</ol>\n'),
        ("|a|\n|:-:|\n|b|", None),
        ("[a](https://b.example/c?d=e&f#g)", None),
        ('[a](http://b.example "title")', f"<p>{LINK.format('http://b.example', 'a')}</p>\n"),
        ("<mailto:a@b.example>", None),
        ("http://a.example", "<p>http://a.example</p>\n"),
        ("[a](/b)", "<p>[a](/b)</p>\n"),
        ("![a](http://b.example)", f"<p>!{LINK.format('http://b.example', 'a')}</p>\n"),
        ("<b>a</b>", "<p>&lt;b&gt;a&lt;/b&gt;</p>\n"),
        ("", ""),
    ],
)
def test_what_becomes_of_markdown(text: str, html: str | None) -> None:
    """Emphasis, code, lists, tables, links are shown as such; HTML is text, pictures are links."""
    if html is not None:
        assert render(text) == html
    elif text.startswith("|"):
        assert '<th align="center">a</th>' in render(text)
        assert '<td align="center">b</td>' in render(text)
    else:
        assert 'rel="noopener noreferrer nofollow" target="_blank"' in render(text)
    assert faults_of(render(text)) == []


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_dangerous_comes_out(text: str) -> None:
    """Whatever a reply says, only listed elements and attributes come of it; also amid others."""
    for put in ("{}", "a {} b", "> {}", "- {}", "# {}", "**{}**", "[{}](http://a.example)"):
        assert faults_of(render(put.replace("{}", text))) == []


@given(MARKDOWN)
def test_nothing_dangerous_can_be_put_together(text: str) -> None:
    """The same for whatever can be made of the pieces."""
    html = render(text)
    assert faults_of(html) == []
    assert len(html) <= 20_000 + 15 * len(text)


@given(st.text(alphabet="abc <>&\"'\n"))
def test_plain_text_is_the_text(text: str) -> None:
    """What is not rendered is shown as it is."""
    faults, shown = read(plain(text))
    assert (faults, shown) == ([], text)


@pytest.mark.parametrize("name", INTRICATE)
def test_no_text_is_slow(name: str) -> None:
    """G14: no text of full length takes more than a few seconds of a core, or grows without end."""
    text = INTRICATE[name]
    assert len(text) <= MOST_CHARS
    started = time.process_time()
    html = render(text)
    assert time.process_time() - started < 15.0  # five times what the slowest takes by itself
    assert len(html) <= 20_000 + 15 * len(text)
    assert faults_of(html) == []


@pytest.mark.parametrize("name", ["cells", "one long address", "stars"])
def test_what_grows_too_much_is_shown_as_it_is(name: str) -> None:
    """Tables that fill themselves, addresses said over and over, elements without end."""
    assert render(INTRICATE[name]) == plain(INTRICATE[name])


def test_what_is_too_long_is_shown_as_it_is() -> None:
    """Up to the limit a text is rendered; beyond it, it is escaped and nothing else."""
    assert render("a" * MOST_CHARS).startswith("<p>")
    text = "*a* <b>" + "a" * MOST_CHARS
    assert render(text).startswith("<pre>*a* &lt;b&gt;a")


class BrokenParser(Parser):
    """Fails, as no parser should."""

    def tokens_of(self, text: str) -> list[Token]:
        """Fail."""
        raise RecursionError


def test_a_fault_of_the_parser_hides_nothing() -> None:
    """Should the library fail, the reply is shown as it is."""
    assert render("*a* <b>", BrokenParser()) == "<pre>*a* &lt;b&gt;</pre>"


def reply(content: str, message_id: int = 1) -> Message:
    """Return a stored reply."""
    return Message(
        id=MessageId(uuid4()),
        session_id=SessionId(uuid4()),
        position=message_id * 2,
        role=Role.ASSISTANT,
        content=content,
        quote=None,
        turn_id=TurnId(uuid4()),
        turn_status=TurnStatus.COMPLETED,
        superseded_by=None,
        created_at=datetime.now(UTC),
    )


async def test_what_was_rendered_is_kept() -> None:
    """A reply never changes: it is rendered once, for as long as there is room."""
    calls: list[str] = []

    def counted(text: str) -> str:
        calls.append(text)
        return render(text)

    kept, one, two = Markdown(counted, cached_chars=30), reply("a" * 8), reply("b" * 8)
    question = replace(reply("c"), role=Role.USER)
    assert await kept.render([question, one]) == {one.id: "<p>aaaaaaaa</p>\n"}
    assert await kept.render([one]) == {one.id: "<p>aaaaaaaa</p>\n"}
    assert calls == ["a" * 8]
    await kept.render([two])  # and now there is no room for both
    assert set(await kept.render([two, one])) == {one.id, two.id}
    assert calls == ["a" * 8, "b" * 8, "a" * 8]


async def test_a_long_page_costs_only_so_much() -> None:
    """The newest replies are rendered, the others shown as they are, and rendered another time."""
    kept = Markdown(page_chars=12_000)
    replies = [reply("*a*" + "b" * 5_000, number) for number in range(1, 5)]
    for rendered in (2, 4):
        found = await kept.render(replies)
        shown = [found[one.id].startswith("<p><em>") for one in replies]
        assert shown == [False] * (4 - rendered) + [True] * rendered


async def test_replies_come_with_html(door: Door) -> None:
    """`render=html` adds it to replies; questions are what people typed; without it: no field."""
    door.llm.script("*a* <b>")
    place = f"/sessions/{(await door.ask('*q*'))['session_id']}/messages"
    question, answer = (await door.client.get(f"{place}?render=html")).json()["items"]
    assert "html" not in question
    assert answer["html"] == "<p><em>a</em> &lt;b&gt;</p>\n"
    assert answer["content"] == "*a* <b>"
    for item in (await door.client.get(place)).json()["items"]:
        assert "html" not in item


async def test_only_html_can_be_asked_for(door: Door) -> None:
    """Another form is a clear 422."""
    place = f"/sessions/{(await door.ask())['session_id']}/messages"
    for other in ("xml", "HTML", "", "html&render=x"):
        answer = await door.client.get(f"{place}?render={other}")
        assert answer.status_code == 422, other
        assert [error["field"] for error in problem_of(answer)["errors"]] == ["render"]


async def test_strangers_get_no_html(door: Door) -> None:
    """G11: what was rendered for one is not given to another."""
    own, other = bearer(VISITOR_A), bearer(VISITOR_B)
    body = (await door.client.post("/chat", json={"message": "x"}, headers=own)).json()
    place = f"/sessions/{body['session_id']}/messages?render=html"
    assert (await door.client.get(place, headers=own)).status_code == 200
    assert (await door.client.get(place, headers=other)).status_code == 404
    await door.client.delete(f"/sessions/{body['session_id']}", headers=own)
    assert (await door.client.get(place, headers=own)).status_code == 404


async def test_hostile_replies_over_http(door: Door) -> None:
    """The corpus as question, quote and model output: JSON keeps it whole, HTML has no fault."""
    for text in HOSTILE:
        door.llm.script(text)
        body = await door.ask(f"q {text}", selected_text=f"s {text}")
        place = f"/sessions/{body['session_id']}/messages?render=html"
        answer = await door.client.get(place)
        assert answer.headers["content-type"] == "application/json"
        question, said = answer.json()["items"]
        assert (question["content"], said["content"]) == (f"q {text}", text)
        assert faults_of(said["html"]) == []
