"""What importers write, for the type checker alone: mypy reads this file, nothing runs it.

May import: standard library, chatcore, tests.typing.

An error here means that somebody's code, correct until now, no longer type-checks.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import UTC, datetime
from typing import assert_never, assert_type
from uuid import UUID, uuid4

from chatcore import (
    Answer,
    ChatError,
    ChatPolicy,
    ChatRepository,
    ChatService,
    ChatSession,
    Clock,
    Feedback,
    IdSource,
    LLMDelta,
    LLMEnded,
    LLMError,
    LLMEvent,
    LLMPort,
    LLMReply,
    LLMStarted,
    Message,
    MessageId,
    MessageNotFound,
    MessageSuperseded,
    Metadata,
    OnBusy,
    OwnerId,
    PreparedRequest,
    Prompt,
    Question,
    Quote,
    Rating,
    ReplayedAttempt,
    ReplyDelta,
    ReplyPosition,
    ReplyRestarted,
    RequestTemplate,
    Role,
    ServiceStopping,
    SessionBusy,
    SessionId,
    Turn,
    TurnEnd,
    TurnEnded,
    TurnEvent,
    TurnFailed,
    TurnId,
    TurnObserver,
    TurnOpened,
    TurnReader,
    TurnRef,
    Usage,
    WindowMessage,
    build_prompt,
    make_metadata,
)
from tests.typing.own_repository import OwnRepository


class OwnLLM(LLMPort):
    """A model of the importer's own."""

    @property
    def model(self) -> str:
        """Name it."""
        return "own"

    @property
    def options(self) -> tuple[tuple[str, str], ...]:
        """Tell what requests depend on."""
        return (("model", self.model), ("style", "brief"))

    def prepare(self, prompt: Prompt, *, stream: bool) -> PreparedRequest:
        """Make the bytes."""
        options = dict(prompt.options or self.options)
        lines = [f"{said.role}: {said.content}" for said in prompt.messages]
        body = "\n".join([options["style"], *lines]).encode()
        return PreparedRequest(prompt=prompt, body=body, stream=stream)

    async def complete(self, request: PreparedRequest) -> LLMReply:
        """Add up the parts."""
        text = ""
        async with aclosing(self.stream(request)) as events:
            async for event in events:
                match event:
                    case LLMStarted(model=model):
                        assert_type(model, str)
                    case LLMDelta(text=part):
                        text += part
                    case LLMEnded():
                        assert_type(event.usage, Usage | None)
                        return LLMReply(text, event.finish_reason, event.model, event.usage)
                    case _:
                        assert_never(event)
        raise LLMError("no end", retry_after_seconds=1.5)

    async def stream(self, request: PreparedRequest) -> AsyncGenerator[LLMEvent, None]:
        """Say one word."""
        assert_type(request.digest, str)
        yield LLMStarted("own")
        yield LLMDelta("word")
        yield LLMEnded("stop", "own", Usage(prompt_tokens=1, completion_tokens=1))


class OwnClock:
    """A clock that has never heard of `Clock`, and is one all the same."""

    def now(self) -> datetime:
        """Tell the time."""
        return datetime.now(UTC)


class OwnIds(IdSource):
    """Ids that name their port."""

    def new_id(self) -> UUID:
        """Make one."""
        return uuid4()


class OwnObserver(TurnObserver):
    """Counts, and may take more than it is given."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def turn_admitted(self, turn: TurnRef, *, repeated: bool = False) -> None:
        """Nothing."""

    def attempt_failed(self, turn: TurnRef, error: ChatError, *, will_retry: bool) -> None:
        """Take any error."""

    def turn_ended(self, turn: TurnRef, end: TurnEnd, *, seconds: float) -> None:
        """Add up."""
        self.seconds += seconds

    def turn_lost(self, turn: TurnRef) -> None:
        """Nothing."""

    def turn_broken(self, turn: TurnRef, error: BaseException) -> None:
        """Nothing."""

    def turn_taken_over(self, turn: TurnRef) -> None:
        """Nothing."""

    def turn_given_up(self, turn: TurnRef, error_code: str) -> None:
        """Nothing."""

    def loop_broken(self, name: str, error: BaseException) -> None:
        """Do nothing."""

    def turn_handed_over(self, turn: TurnRef) -> None:
        """Nothing."""


def compose(repository: ChatRepository, llm: LLMPort, clock: Clock) -> ChatService:
    """Put a service together from ports."""
    return ChatService(
        repository=repository,
        llm=llm,
        clock=clock,
        ids=OwnIds(),
        observer=OwnObserver(),
        policy=ChatPolicy(
            system_prompt="Be brief.", history_messages=4, max_attempts=1, idle_sweep_seconds=None
        ),
    )


async def talk(owner: str, known: UUID | None) -> str:
    """Ask, look around, clean up."""
    service = compose(OwnRepository(), OwnLLM(), OwnClock())
    owner_id = OwnerId(owner)
    try:
        answer = await service.send(
            owner_id,
            "What is torque?",
            session_id=None if known is None else SessionId(known),
            quote=Quote(text="Torque is …", title="Chapter 3", url="https://book.example/3"),
            idempotency_key="a key of sixteen or more characters",
            on_busy=OnBusy.SUPERSEDE,
        )
    except SessionBusy as error:
        assert_type(error.turn_id, UUID)
        assert_type(error.retry_after_seconds, int)
        assert_type(error.is_abandoned, bool)
        return f"later, in {error.retry_after_seconds} seconds"
    except TurnFailed as error:
        assert_type(error.code, str)
        return "again" if error.retryable else "no"
    except ChatError as error:
        assert_type(error.code, str)
        return error.code
    await look_at(service, answer)
    await service.erase(owner_id, answer.turn.session_id)
    await service.start()
    await service.close(timeout_seconds=1.0)
    return answer.text


async def look_at(service: ChatService, answer: Answer) -> None:
    """Use everything that reads."""
    turn = assert_type(answer.turn, Turn)
    assert_type(answer.reply, Message | None)
    assert_type(answer.text, str)
    assert_type(turn.reply, Message | None)
    assert_type(turn.session_id, SessionId)
    if answer.reply is not None:
        assert_type(answer.reply.id, MessageId)
    assert_type([attempt.request_digest for attempt in turn.attempts], list[str | None])
    assert_type(turn.superseded_by, TurnId | None)
    assert_type(turn.usage.total_tokens if turn.usage else None, int | None)
    assert_type(await service.turn(turn.owner_id, turn.session_id, turn.id), Turn)
    assert_type(await service.session(turn.owner_id, turn.session_id), ChatSession)
    page = await service.sessions(turn.owner_id, limit=10)
    assert_type(page.items, tuple[ChatSession, ...])
    while page.next_cursor:
        page = await service.sessions(turn.owner_id, after=page.next_cursor)
    messages = await service.messages(turn.owner_id, turn.session_id, before=3)
    assert_type([said.role for said in messages.items], list[Role])
    renamed = await service.rename(turn.owner_id, turn.session_id, "Torque")
    assert_type(renamed.title, str)


def show(event: TurnEvent) -> str:
    """Render what a reader gets."""
    match event:
        case TurnOpened():
            assert_type((event.session_id, event.turn_id), tuple[SessionId, TurnId])
            return "repeated" if event.repeated else "new"
        case ReplyDelta(text=text, position=position):
            return f"id: {position}\n{text}"
        case ReplyRestarted(position=position):
            assert_type(position.attempt, int)
            return "from the beginning"
        case TurnEnded(turn=turn):
            return turn.status.value
        case _:
            assert_never(event)


async def read(service: ChatService, owner_id: OwnerId) -> str:
    """Follow a reply; leave, come back, stop it, ask otherwise."""
    reader = assert_type(await service.stream(owner_id, "What is torque?"), TurnReader)
    with reader:
        event = assert_type(await reader.next_event(within_seconds=15.0), TurnEvent | None)
        shown = [] if event is None else [show(event)]
        position = reader.position
    after = ReplyPosition.parse(str(position))
    session_id, turn_id = reader.session_id, reader.turn_id
    with await service.follow(owner_id, session_id, turn_id, after=after) as again:
        try:
            shown += [show(each) async for each in again]
        except ServiceStopping:
            shown += ["elsewhere"]
    turn = assert_type(await service.stop(owner_id, session_id, turn_id), Turn)
    await ask_otherwise(service, turn)
    return "\n".join(shown)


async def ask_otherwise(service: ChatService, turn: Turn) -> Answer | None:
    """Edit a question, and ask it again."""
    owner_id, session_id = turn.owner_id, turn.session_id
    try:
        edited = await service.edit(
            owner_id, session_id, turn.question_id, "And power?", keep_quote=True, stream=True
        )
        assert_type(edited.is_over, bool)
        message_id = assert_type((await edited.answer()).turn.question_id, MessageId)
        again = await service.regenerate(
            owner_id, session_id, message_id, idempotency_key="k", on_busy=OnBusy.REJECT
        )
    except (MessageSuperseded, MessageNotFound):
        return None
    return assert_type(await again.answer(), Answer)


async def keep(service: ChatService, owner_id: OwnerId) -> str | None:
    """Note down, name, rate and record."""
    metadata = assert_type(make_metadata({"place": "chapter 3"}), Metadata)
    session = assert_type(await service.open_session(owner_id, metadata=metadata), ChatSession)
    noted = await service.note(owner_id, session.id, make_metadata({}))
    assert_type(dict(noted.metadata), dict[str, str])
    await service.send(
        owner_id,
        "What is torque?",
        session_id=session.id,
        may_open=True,
        client_id="msg-1",
        metadata=metadata,
    )
    question = assert_type(await service.question_named(owner_id, session.id, "msg-1"), Question)
    assert_type(
        await service.question_after(owner_id, session.id, question.turn_id), Question | None
    )
    assert_type(question.superseded_by, TurnId | None)
    assert await service.question(owner_id, session.id, question.message_id) == question
    verdict = Feedback(rating=Rating.UP, comment="Clear.")
    await service.rate(owner_id, session.id, question.message_id, verdict)
    await service.rate(owner_id, session.id, question.message_id, None)
    service.require_recordable("And power?", "P = τω.")
    turn = assert_type(await service.record(owner_id, session.id, "And power?", "P = τω."), Turn)
    assert_type(turn.metadata, Metadata)
    page = await service.messages(owner_id, session.id)
    assert_type([said.feedback for said in page.items], list[Feedback | None])
    return page.items[0].client_id


async def audit(service: ChatService, turn: Turn) -> bool:
    """Make the requests of a turn again."""
    replayed = await service.replay(turn.owner_id, turn.session_id, turn.id)
    assert_type(replayed, tuple[ReplayedAttempt, ...])
    assert_type([each.matches for each in replayed], list[bool | None])
    return all(each.request is not None for each in replayed)


def rebuild(template: RequestTemplate, window: tuple[WindowMessage, ...], turn_id: TurnId) -> bytes:
    """Build the bytes of an earlier request anew."""
    assert_type((template.digest, template.max_tokens), tuple[str, int])
    prompt = build_prompt(
        template=RequestTemplate.from_json(template.to_json()),
        window=window,
        turn_id=turn_id,
        question="What is torque?",
        quote=None,
    )
    return OwnLLM().prepare(prompt, stream=True).body
