"""The names others build on are pinned; errors, ports and adapters are all that they claim to be.

May import: standard library, adapters, chatcore, pytest, tests.architecture.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from abc import abstractmethod
from collections.abc import Callable
from typing import Protocol

import pytest

import adapters
import chatcore
from adapters.memory import (
    InMemoryChatRepository,
    RecordingTurnObserver,
    ScriptedLLM,
    SequentialIds,
    TickingClock,
)
from adapters.openai import OpenAILLM
from adapters.postgres import Database, PostgresChatRepository
from adapters.system import SystemClock, UuidV7Source
from chatcore import ChatError, StorageUnavailable
from chatcore.testing.contract import Contract
from tests.architecture.source_tree import SourceFile, ids_of, source_files

# Adding a name is a promise; taking one away or changing it breaks somebody.
PUBLIC = """
AbandonedTurn Admission Answer Attempt AttemptOutcome Beat ChatError ChatPolicy ChatRepository
ChatService ChatSession Clock Conflict Feedback FeedbackRepository IdSource IdempotencyKeyReused
InvalidInput JournalEntry JournalPlace LLMDelta LLMEnded LLMError LLMEvent LLMIncomplete LLMPort
LLMRateLimited LLMRejected LLMReply LLMStarted LLMTimeout LLMUnavailable Message MessageId
MessageNotFound MessagePage MessageSuperseded Metadata NewTurn NotFound OnBusy OwnerId
PreparedRequest Prompt PromptMessage Question Quote Rating ReplayedAttempt ReplyDelta ReplyJournal
ReplyPosition ReplyRestarted RequestTemplate Role ServiceOverloaded ServiceStopping SessionBusy
SessionCursor SessionId SessionNotFound SessionPage SessionRepository StorageUnavailable TakenTurn
Turn TurnEnd TurnEnded TurnEvent TurnFailed TurnId TurnLost TurnNotFound TurnObserver TurnOpened
TurnReader TurnRef TurnRepository TurnStatus Usage WindowMessage build_prompt make_metadata
"""
ADAPTERS: dict[type, Callable[[], object]] = {
    InMemoryChatRepository: InMemoryChatRepository,
    PostgresChatRepository: lambda: PostgresChatRepository(
        Database("postgresql://localhost/nothing", schema="chatcore")
    ),
    ScriptedLLM: ScriptedLLM,
    OpenAILLM: lambda: OpenAILLM(api_key="none", base_url="http://localhost/v1", model="none"),
    SystemClock: SystemClock,
    TickingClock: TickingClock,
    UuidV7Source: UuidV7Source,
    SequentialIds: SequentialIds,
    RecordingTurnObserver: RecordingTurnObserver,
}
# A store cannot be told to be away, so no contract can check that one; integration tests do.
NOT_IN_CONTRACTS = {StorageUnavailable.__name__}


def import_all() -> None:
    """Import chatcore and the adapters whole, so that every subclass is known."""
    for file in source_files("chatcore", "adapters"):
        importlib.import_module(file.module)


def subclasses(base: type) -> list[type]:
    """Return every class below this one, nearest first."""
    below: list[type] = base.__subclasses__()
    return below + [deeper for one in below for deeper in subclasses(one)]


import_all()
FOLDERS = [file for file in source_files("adapters") if file.path.match("*/*/__init__.py")]
ERRORS = [kind for kind in subclasses(ChatError) if kind.__module__ == "chatcore.errors"]
PORTS = sorted(
    {
        value
        for file in source_files("chatcore/ports")
        for value in vars(importlib.import_module(file.module)).values()
        if inspect.isclass(value)
        and getattr(value, "_is_protocol", False)
        and value is not Protocol
    },
    key=lambda port: port.__name__,
)
METHODS = [
    (port, name)
    for port in PORTS
    for name, value in vars(port).items()
    if inspect.isfunction(value) and not name.startswith("_")
]


def raises_in(docstring: str) -> list[str]:
    """Return the names in the section `Raises:` of a docstring."""
    _, _, rest = (inspect.cleandoc(docstring) + "\n").partition("\nRaises:\n")
    section = re.match(r"(?: +.*\n|\n)*", rest)
    return re.findall(r"^    (\w+):", section[0] if section else "", re.MULTILINE)


def test_public_names_are_pinned() -> None:
    """The public names are these, in order, and nothing else."""
    assert chatcore.__all__ == PUBLIC.split()
    assert sorted(chatcore.__all__) == chatcore.__all__


@pytest.mark.parametrize("name", PUBLIC.split())
def test_public_name_exists(name: str) -> None:
    """A public name can be imported, and does not come from anywhere else."""
    value = getattr(chatcore, name)
    made_in = getattr(value, "__module__", "chatcore").partition(".")[0]
    assert made_in in {"chatcore", "types", "builtins"}  # an alias says what it is an alias of


def test_nothing_else_is_public() -> None:
    """Beside the public names the package has modules only."""
    others = {name for name in vars(chatcore) if not name.startswith("_")} - set(chatcore.__all__)
    assert [name for name in others if not inspect.ismodule(getattr(chatcore, name))] == []


@pytest.mark.parametrize("error", ERRORS)
def test_error_has_a_code_of_its_own(error: type[ChatError]) -> None:
    """Every error has a code that no other has, and is a public name."""
    codes = [vars(kind).get("code") for kind in (ChatError, *subclasses(ChatError))]
    assert codes.count(vars(error)["code"]) == 1
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", error.code)
    assert getattr(chatcore, error.__name__) is error


def test_error_tree_is_as_drawn() -> None:
    """The drawing at the top of chatcore/errors.py is the tree of the classes."""
    drawing = inspect.getdoc(importlib.import_module("chatcore.errors")) or ""
    drawn: list[tuple[str, str]] = []
    path = ["ChatError"]
    for branch, name in re.findall(r"^ {4}([│ ]*)[├└]── (\w+)", drawing, re.MULTILINE):
        depth = len(branch) // 4 + 1
        drawn.append((path[depth - 1], name))
        path[depth:] = [name]
    assert re.search(r"^ {4}ChatError$", drawing, re.MULTILINE)
    is_tree = [(kind.__bases__[0].__name__, kind.__name__) for kind in ERRORS]
    assert sorted(drawn) == sorted(is_tree)
    assert all(len(kind.__bases__) == 1 for kind in ERRORS)


@pytest.mark.parametrize(("port", "name"), METHODS)
def test_port_method(port: type, name: str) -> None:
    """A method of a port is abstract, says what it does, and names only errors that exist."""
    method = vars(port)[name]
    assert method.__isabstractmethod__
    named = raises_in(method.__doc__)
    assert set(named) <= {error.__name__ for error in ERRORS}
    assert len(named) == len(set(named))


@pytest.mark.parametrize(("port", "name"), METHODS)
def test_port_method_that_reaches_out_names_its_errors(port: type, name: str) -> None:
    """A method of a port that has to wait for somebody says how that can fail."""
    method = vars(port)[name]
    waits = inspect.iscoroutinefunction(method) or "Async" in str(method.__annotations__["return"])
    assert bool(raises_in(method.__doc__)) == waits


def test_ports_have_no_behaviour() -> None:
    """A port holds nothing but abstract methods, with empty bodies."""
    for port, name in METHODS:
        body = ast.parse(inspect.cleandoc("\n" + inspect.getsource(vars(port)[name]))).body[0]
        assert isinstance(body, ast.FunctionDef | ast.AsyncFunctionDef)
        assert [ast.unparse(statement) for statement in body.body[1:]] == ["..."], (port, name)


def test_errors_of_ports_are_in_the_contracts() -> None:
    """Every error that a port promises is raised in a contract suite, so that adapters keep it."""
    promised = {error for port, name in METHODS for error in raises_in(vars(port)[name].__doc__)}
    tried = {
        node.id
        for file in source_files("chatcore/testing")
        for node in ast.walk(file.tree)
        if isinstance(node, ast.Name)
    }
    assert promised - tried == NOT_IN_CONTRACTS


def test_every_adapter_of_a_port_is_known() -> None:
    """No class under adapters that plays a port is missing from the list above."""
    playing = {
        kind
        for port in PORTS
        for kind in subclasses(port)
        if kind.__module__.startswith(f"{adapters.__name__}.")
    }
    whole = {kind for kind in playing if not set(subclasses(kind)) & playing}
    assert whole == set(ADAPTERS)


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_adapter_is_whole(adapter: type) -> None:
    """An adapter can be made, names its port as a base, and has every method of it as its own."""
    assert isinstance(ADAPTERS[adapter](), adapter)
    ports = [port for port in PORTS if port in adapter.__mro__]
    assert ports
    for port, name in METHODS:
        if port in ports:
            assert inspect.getattr_static(adapter, name) is not vars(port)[name], name


@pytest.mark.parametrize("file", FOLDERS, ids=ids_of(FOLDERS))
def test_names_of_adapters(file: SourceFile) -> None:
    """What the folder of a technology offers exists, and is listed in order."""
    module = importlib.import_module(file.module)
    assert sorted(module.__all__) == module.__all__
    assert [name for name in module.__all__ if not hasattr(module, name)] == []


def test_a_forgotten_method_is_noticed() -> None:
    """An adapter that lacks a method of its port cannot be made."""

    class Forgetful(chatcore.IdSource):
        pass

    with pytest.raises(TypeError, match="new_id"):
        Forgetful()  # type: ignore[abstract]


def test_contracts_cannot_be_muted() -> None:
    """A subclass of a contract, however deep, may add a test but never replace an inherited one."""

    class Suite(Contract):
        def test_one(self) -> None: ...

    class Adapter(Suite):
        def test_two(self) -> None: ...

    for base, name in ((Suite, "test_one"), (Adapter, "test_one"), (Adapter, "test_two")):
        with pytest.raises(TypeError, match=f"must not override .*{name}"):
            type("Muted", (base,), {name: None})


def test_ports_are_found() -> None:
    """The ports these tests are about are the ones there are."""

    class Planted(Protocol):
        @abstractmethod
        def method(self) -> None: ...

    assert getattr(Planted, "_is_protocol", False)
    assert [port.__name__ for port in PORTS] == [
        "ChatRepository",
        "Clock",
        "FeedbackRepository",
        "IdSource",
        "LLMPort",
        "ReplyJournal",
        "SessionRepository",
        "TurnObserver",
        "TurnRepository",
    ]
