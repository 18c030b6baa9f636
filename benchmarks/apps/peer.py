"""Beside the rooms: the peer, as a good team would write it today.

May import: standard library, fastapi, openai, pydantic, sqlalchemy, sqlmodel, benchmarks.

FastAPI, SQLModel, asyncpg and the openai client, used as their documentation shows, with care where
it counts: connections are pooled and given back before the model is asked, the history has its
composite index, clients are made once, dependencies are async.
"""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated, cast
from uuid import UUID, uuid4

from fastapi import Depends, FastAPI, Request
from fastapi.responses import StreamingResponse
from openai import AsyncOpenAI
from openai.types.chat import ChatCompletionMessageParam
from pydantic import BaseModel
from pydantic import Field as PydanticField
from sqlalchemy import Column, DateTime, Index, Text
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlmodel import Field, SQLModel, col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from benchmarks.apps.common import Settings, user_content

SETTINGS = Settings.read()


def now() -> datetime:
    """Return the time."""
    return datetime.now(UTC)


class ChatSession(SQLModel, table=True):
    """A conversation."""

    __tablename__ = "sessions"
    id: UUID = Field(default_factory=uuid4, primary_key=True)
    created_at: datetime = Field(default_factory=now, sa_type=DateTime(timezone=True))


class Message(SQLModel, table=True):
    """What was said."""

    __tablename__ = "messages"
    __table_args__ = (Index("messages_history", "session_id", "created_at", "id"),)
    id: int | None = Field(default=None, primary_key=True)
    session_id: UUID = Field(foreign_key="sessions.id")
    role: str
    content: str = Field(sa_column=Column(Text, nullable=False))
    selected_text: str | None = Field(default=None, sa_column=Column(Text))
    created_at: datetime = Field(default_factory=now, sa_type=DateTime(timezone=True))


class ChatRequest(BaseModel):
    """A question."""

    message: str = PydanticField(min_length=1, max_length=8000)
    session_id: UUID | None = None
    selected_text: str | None = PydanticField(default=None, max_length=8000)


class ChatResponse(BaseModel):
    """A reply."""

    response: str
    session_id: UUID
    timestamp: datetime


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open what requests share, and close it in the end."""
    url = SETTINGS.database_url.replace("postgresql://", "postgresql+asyncpg://")
    engine = create_async_engine(url, pool_size=SETTINGS.pool_size, max_overflow=0)
    async with engine.begin() as connection:
        await connection.run_sync(SQLModel.metadata.create_all)
    app.state.sessionmaker = async_sessionmaker(engine, class_=AsyncSession, expire_on_commit=False)
    app.state.openai = AsyncOpenAI(base_url=SETTINGS.provider_url, api_key=SETTINGS.api_key)
    yield
    await app.state.openai.close()
    await engine.dispose()


app = FastAPI(lifespan=lifespan)


async def get_db(request: Request) -> AsyncIterator[AsyncSession]:
    """Give a database session."""
    async with request.app.state.sessionmaker() as db:
        yield db


async def get_openai(request: Request) -> AsyncOpenAI:
    """Give the client; a coroutine, since FastAPI calls plain functions in a thread."""
    return cast("AsyncOpenAI", request.app.state.openai)


Db = Annotated[AsyncSession, Depends(get_db)]
OpenAI = Annotated[AsyncOpenAI, Depends(get_openai)]


async def begin_turn(
    db: AsyncSession, request: ChatRequest
) -> tuple[UUID, list[ChatCompletionMessageParam]]:
    """Store the question, and return the session with what the model is to be told."""
    session = await db.get(ChatSession, request.session_id) if request.session_id else None
    if session is None:
        session = ChatSession(id=request.session_id or uuid4())
        db.add(session)
        await db.flush()
    newest_first = select(Message).where(Message.session_id == session.id)
    newest_first = newest_first.order_by(col(Message.created_at).desc(), col(Message.id).desc())
    history = (await db.exec(newest_first.limit(SETTINGS.history_messages))).all()
    text, passage = request.message, request.selected_text
    db.add(Message(session_id=session.id, role="user", content=text, selected_text=passage))
    await db.commit()  # Also gives the connection back before the model is asked.
    messages = [{"role": "system", "content": SETTINGS.system_prompt}]
    messages += [{"role": said.role, "content": said.content} for said in reversed(history)]
    messages.append({"role": "user", "content": user_content(text, passage)})
    return session.id, cast("list[ChatCompletionMessageParam]", messages)


async def end_turn(db: AsyncSession, session_id: UUID, content: str) -> Message:
    """Store the reply."""
    reply = Message(session_id=session_id, role="assistant", content=content)
    db.add(reply)
    await db.commit()
    return reply


@app.post("/chat")
async def chat(request: ChatRequest, db: Db, openai: OpenAI) -> ChatResponse:
    """Answer a question."""
    session_id, messages = await begin_turn(db, request)
    completion = await openai.chat.completions.create(model=SETTINGS.model, messages=messages)
    reply = await end_turn(db, session_id, completion.choices[0].message.content or "")
    return ChatResponse(response=reply.content, session_id=session_id, timestamp=reply.created_at)


@app.post("/chat/stream")
async def chat_stream(request: ChatRequest, db: Db, openai: OpenAI) -> StreamingResponse:
    """Answer a question, token by token."""
    session_id, messages = await begin_turn(db, request)

    async def events() -> AsyncIterator[str]:
        yield _event(session_id=str(session_id))
        parts: list[str] = []
        stream = await openai.chat.completions.create(
            model=SETTINGS.model, messages=messages, stream=True
        )
        async for chunk in stream:
            if chunk.choices and (delta := chunk.choices[0].delta.content):
                parts.append(delta)
                yield _event(delta=delta)
        reply = await end_turn(db, session_id, "".join(parts))
        yield _event(done=True, timestamp=reply.created_at.isoformat())

    return StreamingResponse(events(), media_type="text/event-stream")


def _event(**fields: object) -> str:
    return f"data: {json.dumps(fields)}\n\n"
