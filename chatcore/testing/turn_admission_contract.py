"""Beside the hexagon: what admitting a question promises.

May import: standard library, chatcore, pytest.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from uuid import uuid4

import pytest

from chatcore import (
    Admission,
    AttemptOutcome,
    ChatRepository,
    IdempotencyKeyReused,
    MessageId,
    Quote,
    RequestTemplate,
    Role,
    SessionBusy,
    SessionId,
    SessionNotFound,
    TurnId,
    TurnNotFound,
    TurnStatus,
)

from .builders import (
    EXPIRED,
    NOW,
    TEMPLATE,
    an_owner,
    completed,
    failed,
    have_turn,
    new_turn,
    ref_of,
    stopped,
)
from .contract import Contract

KEY = "a key of some length"
TEXTS = (
    "plain",
    "  kept as it is \n\t ",
    "emoji 🤖 and 👩‍🔬, combining e\u0301, right-to-left שלום, U+2028 \u2028, BOM \ufeff",
    "control \x01\x1b[31m\x7f",
    "'; DROP TABLE messages; -- $1 %s {x} \\",
    "x" * 32_000,
)


class TurnAdmissionContract(Contract):
    """Cases of `TurnRepository.admit` where nothing is replaced, and of templates."""

    async def test_admit_opens_a_session(self, repository: ChatRepository) -> None:
        """G1: a first question creates session, question, turn and attempt together."""
        new = new_turn(an_owner())
        admission = await repository.admit(new)
        assert (admission.window, admission.repeated) == ((), False)
        turn = await repository.turn(new.owner_id, new.session_id, new.turn_id)
        assert replace(turn, attempts=()) == admission.turn
        assert (turn.number, turn.status, turn.attempt) == (1, TurnStatus.RUNNING, 1)
        [attempt] = turn.attempts
        assert (attempt.number, attempt.outcome) == (1, AttemptOutcome.PENDING)
        assert (attempt.started_at, attempt.ended_at, attempt.request_digest) == (NOW, None, None)
        session = await repository.session(new.owner_id, new.session_id)
        assert (session.title, session.created_at, session.updated_at) == ("A title", NOW, NOW)
        page = await repository.messages(new.owner_id, new.session_id, limit=10)
        [question] = page.items
        assert (question.id, question.turn_id) == (new.question_id, new.turn_id)
        assert (question.position, question.role, question.content) == (1, Role.USER, new.text)
        assert question.turn_status is TurnStatus.RUNNING

    @pytest.mark.parametrize("stream", [True, False])
    async def test_first_attempt_is_on_record(
        self, repository: ChatRepository, stream: bool
    ) -> None:
        """G9: with which template, and whether in parts, is on record before anything is sent."""
        digest = replace(TEMPLATE, system_prompt="Be brief.").digest
        new = new_turn(an_owner(), template=digest, stream=stream)
        await repository.admit(new)
        turn = await repository.turn(new.owner_id, new.session_id, new.turn_id)
        assert [(each.template, each.stream) for each in turn.attempts] == [(digest, stream)]

    @pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
    async def test_text_is_kept_exactly(self, repository: ChatRepository, text: str) -> None:
        """What was said comes back code point by code point, in question, passage and reply."""
        owner = an_owner()
        quote = Quote(text=text, title=text[:100], url="https://example.org/?a=b#c", anchor="s1")
        admission = await repository.admit(new_turn(owner, text=text, quote=quote))
        await repository.finish(ref_of(admission), completed(text))
        page = await repository.messages(owner, admission.turn.session_id, limit=10)
        assert [message.content for message in page.items] == [text, text]
        assert [message.quote for message in page.items] == [quote, None]

    async def test_passage_without_source(self, repository: ChatRepository) -> None:
        """A passage whose source is not known stays without one."""
        owner = an_owner()
        admission = await repository.admit(new_turn(owner, quote=Quote(text="only text")))
        page = await repository.messages(owner, admission.turn.session_id, limit=1)
        assert page.items[0].quote == Quote(text="only text")

    async def test_unknown_session_is_not_found(self, repository: ChatRepository) -> None:
        """A question for a session that does not exist is refused and leaves nothing."""
        owner = an_owner()
        new = new_turn(owner, SessionId(uuid4()))
        with pytest.raises(SessionNotFound):
            await repository.admit(new)
        assert (await repository.sessions(owner, limit=10, after=None)).items == ()

    async def test_foreign_session_is_not_found(self, repository: ChatRepository) -> None:
        """G11: a question for somebody else's session is refused like for an unknown one."""
        turn = await have_turn(repository, an_owner())
        with pytest.raises(SessionNotFound):
            await repository.admit(new_turn(an_owner(), turn.session_id))
        page = await repository.messages(turn.owner_id, turn.session_id, limit=10)
        assert len(page.items) == 2

    async def test_same_ids_of_two_owners_do_not_meet(self, repository: ChatRepository) -> None:
        """G11: ids and keys count within their owner."""
        new = new_turn(an_owner(), key=KEY)
        other = replace(new, owner_id=an_owner())
        assert not (await repository.admit(new)).repeated
        assert not (await repository.admit(other)).repeated

    async def test_running_turn_makes_the_session_busy(self, repository: ChatRepository) -> None:
        """G3: a second question meets 'busy' with the running turn's id and leaves nothing."""
        owner = an_owner()
        first = await repository.admit(new_turn(owner))
        session_id = first.turn.session_id
        with pytest.raises(SessionBusy) as refused:
            await repository.admit(new_turn(owner, session_id))
        assert (refused.value.turn_id, refused.value.is_abandoned) == (first.turn.id, False)
        assert len((await repository.messages(owner, session_id, limit=10)).items) == 1

    async def test_refused_admission_records_nothing(self, repository: ChatRepository) -> None:
        """G2: a key whose admission was refused is free for the next try."""
        owner = an_owner()
        first = await repository.admit(new_turn(owner))
        again = new_turn(owner, first.turn.session_id, key=KEY)
        with pytest.raises(SessionBusy):
            await repository.admit(again)
        await repository.finish(ref_of(first), completed())
        assert not (await repository.admit(again)).repeated

    async def test_positions_and_numbers_are_dense(self, repository: ChatRepository) -> None:
        """G4: positions go 1, 2, 3 … over replies, failures with and without a part, and stops."""
        owner = an_owner()
        session_id = (await have_turn(repository, owner)).session_id
        for end in (failed(), failed("a part"), stopped(""), stopped("a part"), completed()):
            await have_turn(repository, owner, session_id, end=end)
        page = await repository.messages(owner, session_id, limit=100)
        assert [message.position for message in page.items] == list(range(1, 11))
        assert [message.role.value[0] for message in page.items] == list("uauuauuaua")

    async def test_window_holds_whole_turns(self, repository: ChatRepository) -> None:
        """G8: completed turns and stopped ones with a part are in the window, failed ones never."""
        owner = an_owner()
        session_id = (await have_turn(repository, owner, text="one")).session_id
        ends = {
            "two": failed(),
            "three": failed("a part"),
            "four": stopped(""),
            "five": stopped("part"),
        }
        for text, end in ends.items():
            await have_turn(repository, owner, session_id, text=text, end=end)
        admission = await repository.admit(new_turn(owner, session_id, text="six"))
        assert _said(admission) == ["one", "A motor with feedback.", "five", "part"]
        assert [message.from_user for message in admission.window] == [True, False] * 2
        assert [message.turn_number for message in admission.window] == [1, 1, 5, 5]
        turn = await repository.turn(owner, session_id, admission.turn.id)
        assert turn.attempts[0].window == (1, 5)
        assert await repository.window(owner, session_id, (1, 5)) == admission.window

    @pytest.mark.parametrize("turns", [0, 1, 2, 5])
    async def test_window_is_the_latest_turns(self, repository: ChatRepository, turns: int) -> None:
        """The window holds the latest turns, oldest first, and no more than asked for."""
        owner = an_owner()
        session_id = (await have_turn(repository, owner, text="1")).session_id
        for text in "234":
            await have_turn(repository, owner, session_id, text=text)
        admission = await repository.admit(new_turn(owner, session_id, window_turns=turns))
        asked = [message.content for message in admission.window if message.from_user]
        assert asked == list("1234")[max(0, 4 - turns) :]

    async def test_window_never_crosses_sessions(self, repository: ChatRepository) -> None:
        """A session's window holds nothing of the same owner's other sessions."""
        owner = an_owner()
        await have_turn(repository, owner, text="elsewhere")
        mine = await have_turn(repository, owner, text="here")
        admission = await repository.admit(new_turn(owner, mine.session_id))
        assert [message.content for message in admission.window if message.from_user] == ["here"]
        assert await repository.window(an_owner(), mine.session_id, (1,)) == ()

    async def test_window_carries_passages(self, repository: ChatRepository) -> None:
        """The passage of an earlier question comes back with it, and with its turn's id."""
        owner = an_owner()
        quote = Quote(text="a passage", url="https://example.org")
        first = await repository.admit(new_turn(owner, quote=quote))
        await repository.finish(ref_of(first), completed())
        second = await repository.admit(new_turn(owner, first.turn.session_id))
        assert [message.quote for message in second.window] == [quote, None]
        assert {message.turn_id for message in second.window} == {first.turn.id}

    async def test_repeat_of_a_key_joins_the_running_turn(self, repository: ChatRepository) -> None:
        """G2: a repeat while the turn runs gets that turn, though ids differ, and adds nothing."""
        owner = an_owner()
        first = await repository.admit(new_turn(owner, key=KEY))
        again = await repository.admit(new_turn(owner, key=KEY))
        assert again.repeated
        assert (again.turn, again.window) == (first.turn, ())
        assert len((await repository.sessions(owner, limit=10, after=None)).items) == 1

    @pytest.mark.parametrize(
        "end", [completed(), failed(), stopped("part")], ids=["completed", "failed", "stopped"]
    )
    async def test_repeat_of_a_key_gets_the_stored_end(
        self, repository: ChatRepository, end: object
    ) -> None:
        """G2: a repeat after the end gets the turn as stored, well or badly ended."""
        owner = an_owner()
        first = await have_turn(repository, owner)
        new = new_turn(owner, first.session_id, key=KEY)
        ended = await repository.finish(ref_of(await repository.admit(new)), end)  # type: ignore[arg-type]
        again = await repository.admit(new_turn(owner, first.session_id, key=KEY))
        assert (again.repeated, again.turn) == (True, ended)

    async def test_repeat_wins_over_busy(self, repository: ChatRepository) -> None:
        """G2: a repeat is recognised although another turn of the session runs by now."""
        owner = an_owner()
        first = await repository.admit(new_turn(owner, key="x" * 20))
        await repository.finish(ref_of(first), completed())
        session_id = first.turn.session_id
        keyed = await repository.admit(new_turn(owner, session_id, key=KEY))
        await repository.finish(ref_of(keyed), completed())
        await repository.admit(new_turn(owner, session_id))
        assert (await repository.admit(new_turn(owner, session_id, key=KEY))).repeated

    async def test_key_with_other_contents_is_refused(self, repository: ChatRepository) -> None:
        """G2: the same key with another text, session or passage is refused and adds nothing."""
        owner = an_owner()
        turn = await have_turn(repository, owner)
        await repository.admit(new_turn(owner, turn.session_id, key=KEY))
        others = (
            new_turn(owner, turn.session_id, key=KEY, text="other"),
            new_turn(owner, turn.session_id, key=KEY, quote=Quote(text="other")),
            new_turn(owner, key=KEY),
            new_turn(owner, SessionId(uuid4()), key=KEY),
        )
        for other in others:
            with pytest.raises(IdempotencyKeyReused):
                await repository.admit(other)
        assert len((await repository.messages(owner, turn.session_id, limit=10)).items) == 3
        assert len((await repository.sessions(owner, limit=10, after=None)).items) == 1

    async def test_same_admission_twice_is_one(self, repository: ChatRepository) -> None:
        """G1: an admission repeated because its answer was lost finds itself, window and all."""
        owner = an_owner()
        opening = new_turn(owner)
        first = await repository.admit(opening)
        assert await repository.admit(opening) == first
        await repository.finish(ref_of(first), completed())
        following = new_turn(owner, first.turn.session_id, key=KEY)
        second = await repository.admit(following)
        assert await repository.admit(following) == second
        assert len(second.window) == 2
        page = await repository.messages(owner, first.turn.session_id, limit=10)
        assert len(page.items) == 3

    async def test_abandoned_turn_counts_until_it_ends(self, repository: ChatRepository) -> None:
        """G3, G7: a running turn past its lease makes the session busy, and is told apart."""
        owner = an_owner()
        dead = await repository.admit(new_turn(owner, lease_seconds=EXPIRED))
        session_id = dead.turn.session_id
        following = new_turn(owner, session_id, key=KEY)
        with pytest.raises(SessionBusy) as refused:
            await repository.admit(following)
        assert (refused.value.turn_id, refused.value.is_abandoned) == (dead.turn.id, True)
        turn = await repository.turn(owner, session_id, dead.turn.id)
        assert replace(turn, attempts=()) == dead.turn
        assert turn.attempts[0].outcome is AttemptOutcome.PENDING
        await repository.give_up(
            ref_of(dead), reply_id=MessageId(uuid4()), error_code="turn_interrupted", now=NOW
        )
        admission = await repository.admit(following)
        assert (admission.turn.number, admission.window, admission.repeated) == (2, (), False)

    async def test_abandoned_turns_elsewhere_do_not_count(self, repository: ChatRepository) -> None:
        """G3: an abandoned turn blocks no other session, of any owner."""
        owner = an_owner()
        idle = await have_turn(repository, owner)
        for each in (owner, an_owner()):
            await repository.admit(new_turn(each, lease_seconds=EXPIRED))
        assert (await repository.admit(new_turn(owner, idle.session_id))).turn.number == 2

    async def test_one_of_many_at_once_is_admitted(self, repository: ChatRepository) -> None:
        """G3: of twenty questions at once exactly one is admitted; nothing is left of the rest."""
        owner = an_owner()
        session_id = (await have_turn(repository, owner)).session_id
        tries = [repository.admit(new_turn(owner, session_id)) for _ in range(20)]
        results = await asyncio.gather(*tries, return_exceptions=True)
        admitted = [result for result in results if isinstance(result, Admission)]
        refused = [result for result in results if isinstance(result, SessionBusy)]
        assert (len(admitted), len(refused)) == (1, 19)
        assert {error.turn_id for error in refused} == {admitted[0].turn.id}
        page = await repository.messages(owner, session_id, limit=100)
        assert [message.position for message in page.items] == [1, 2, 3]

    async def test_one_key_many_at_once_is_one_turn(self, repository: ChatRepository) -> None:
        """G2: of twenty repeats at once one is admitted and the others join it."""
        owner = an_owner()
        tries = [repository.admit(new_turn(owner, key=KEY)) for _ in range(20)]
        admissions = await asyncio.gather(*tries)
        assert len({admission.turn.id for admission in admissions}) == 1
        assert sorted(admission.repeated for admission in admissions) == [False] + [True] * 19
        assert len((await repository.sessions(owner, limit=10, after=None)).items) == 1

    async def test_turn_of_others_is_not_found(self, repository: ChatRepository) -> None:
        """G11: a turn is found by its owner, in its session, and nowhere else."""
        turn = await have_turn(repository, an_owner())
        other = await have_turn(repository, turn.owner_id)
        wrong = (
            (an_owner(), turn.session_id, turn.id),
            (turn.owner_id, other.session_id, turn.id),
            (turn.owner_id, turn.session_id, TurnId(uuid4())),
        )
        for owner, session_id, turn_id in wrong:
            with pytest.raises(TurnNotFound):
                await repository.turn(owner, session_id, turn_id)

    async def test_templates_are_kept(self, repository: ChatRepository) -> None:
        """G9: what requests were made with comes back exactly, under its digest, for good."""
        options = (("model", "gpt-🤖"), ("temperature", "0.2"), ("seed", ""))
        prompt = f"You are {uuid4()}. {TEXTS[2]} {TEXTS[3]} {TEXTS[4]}"
        template = RequestTemplate(
            system_prompt=prompt, max_tokens=77, history_max_chars=0, options=options
        )
        assert await repository.template(template.digest) is None
        await repository.keep_template(template)
        kept = await repository.template(template.digest)
        assert kept is not None
        assert (kept.system_prompt, kept.max_tokens, kept.history_max_chars) == (prompt, 77, 0)
        assert dict(kept.options) == dict(options)
        assert (kept.digest, kept.prompt_format) == (template.digest, template.prompt_format)

    async def test_same_template_twice_is_one(self, repository: ChatRepository) -> None:
        """G9: a template kept again, also many times at once, stays what it was."""
        template = replace(TEMPLATE, system_prompt=f"You are {uuid4()}.")
        await asyncio.gather(*(repository.keep_template(template) for _ in range(10)))
        await repository.keep_template(template)
        await repository.keep_template(replace(template, max_tokens=1))
        assert await repository.template(template.digest) == template

    async def test_unknown_template(self, repository: ChatRepository) -> None:
        """G9: under a digest nobody has kept anything under there is nothing."""
        assert await repository.template("0" * 64) is None


def _said(admission: Admission) -> list[str]:
    return [message.content for message in admission.window]
