"""Room 4, the door: reads a JSON body once, straight from bytes into its struct, or says why not.

May import: standard library, app, litestar, msgspec.

msgspec makes the struct. The standard library reads the same bytes into a document, to find names
given twice and, in a bad body, everything that is wrong. Both are single passes: no text a client
sends may take longer than its length deserves, so no pattern is searched for in a body.
"""

from __future__ import annotations

import json
import re
from collections.abc import Generator, Iterator
from dataclasses import replace
from functools import cache
from itertools import islice
from types import UnionType
from typing import Any, Generic, Literal, NoReturn, TypeVar, get_args, get_origin

import msgspec
from litestar.connection import ASGIConnection
from litestar.dto import AbstractDTO, DTOFieldDefinition
from litestar.handlers import BaseRouteHandler
from litestar.openapi.spec import Reference, Schema
from litestar.types import Empty
from litestar.typing import FieldDefinition

from app.http.problems import Refused
from app.http.schemas import FieldError

MAX_DEPTH = 32
_MAX_ERRORS = 20
_MAX_NAME_CHARS = 64
# Possessive, like every pattern that a client's text is matched with: no second try, no slow one.
_JSON_TYPE = re.compile(
    r'\s*+application/json\s*+(?:;\s*+charset="?utf-?8"?\s*+)?+;?\s*+', re.IGNORECASE
)
_SURROGATE = re.compile("[\ud800-\udfff]")

T = TypeVar("T", bound=msgspec.Struct)


# Guards that are no coroutine functions are run in threads, which costs more than all they do.
async def require_json(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """Refuse a body that does not call itself JSON, or is compressed, before reading it."""
    if not _JSON_TYPE.fullmatch(connection.headers.get("content-type", "")):
        raise Refused("unsupported_media_type")
    codings = ",".join(connection.headers.getall("content-encoding", []))
    if any(coding.strip().lower() not in {"", "identity"} for coding in codings.split(",")):
        detail = "The body must not be compressed: send it without Content-Encoding."
        raise Refused("unsupported_media_type", detail, headers={"Accept-Encoding": "identity"})


async def require_json_if_any(
    connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler
) -> None:
    """Do as `require_json` if there is a body at all."""
    headers = connection.headers
    if headers.get("content-length", "0") != "0" or "transfer-encoding" in headers:
        await require_json(connection, handler)


def read_struct(body: bytes, model: type[T]) -> T:
    """Return a body as its struct.

    Raises:
        Refused: It is no JSON, or not this struct.
    """
    try:
        decoded: T = _decoder(model).decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        _explain(body, model)
    _parse(body)
    return decoded


@cache
def _decoder(model: type[T]) -> msgspec.json.Decoder[T]:
    return msgspec.json.Decoder(model)


class StrictJson(AbstractDTO[T], Generic[T]):
    """Litestar's extension point for decoding a body ourselves: `dto=StrictJson[SomeRequest]`."""

    def decode_bytes(self, value: bytes) -> Any:
        """Return the body as its struct; errors as `read_struct`."""
        return read_struct(value, self.model_type)

    @classmethod
    def create_for_field_definition(
        cls, field_definition: FieldDefinition, handler_id: str, backend_cls: Any = None
    ) -> None:
        """Derive nothing: the struct is the model."""

    @classmethod
    def create_openapi_schema(
        cls, field_definition: FieldDefinition, handler_id: str, schema_creator: Any
    ) -> Reference | Schema:
        """Describe the struct itself, and say that it has no other fields."""
        # A body that may be left out has a default, which is no JSON and says nothing new.
        bare = replace(field_definition, default=Empty)
        described: Reference | Schema = schema_creator.for_field_definition(bare)
        if isinstance(described, Reference):
            registered = schema_creator.schema_registry.from_reference(described)
            registered.schema.additional_properties = False
        return described

    @classmethod
    def generate_field_definitions(
        cls, model_type: type[Any]
    ) -> Generator[DTOFieldDefinition, None, None]:
        """Derive nothing."""
        yield from ()

    @classmethod
    def detect_nested_field(cls, field_definition: FieldDefinition) -> bool:
        """Derive nothing."""
        return False


def _explain(body: bytes, model: type[msgspec.Struct]) -> NoReturn:
    """Refuse a body, with everything that is wrong with it."""
    document = _parse(body)
    if not isinstance(document, dict):
        raise _invalid([FieldError(field="body", reason="is not a JSON object")])
    errors = [
        FieldError(field=name, reason="contains a lone surrogate")
        for name, value in _strings(document)
        if _SURROGATE.search(value)
    ]
    errors = errors or list(islice(_complaints(document, model), _MAX_ERRORS))
    raise _invalid(errors or [FieldError(field="body", reason="cannot be read")])


def _parse(body: bytes) -> Any:
    """Parse a document with all its faults but bad syntax or UTF-8, depth and repeated names."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        raise Refused("malformed_json", "The body is not UTF-8.") from None
    try:
        document = _strict.decode(text)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise Refused("malformed_json", f"The body is not JSON: see {where}.") from None
    except RecursionError:
        raise _too_deep() from None
    except ValueError:
        raise Refused("malformed_json") from None
    _refuse_depth(document)
    return document


def _refuse_depth(document: Any) -> None:
    """Refuse what is nested too deep, level by level: the parser's own limit is a high one."""
    level = [document]
    for _ in range(MAX_DEPTH):
        if not (level := [child for value in level for child in _children(value)]):
            return
    raise _too_deep()


def _children(value: Any) -> list[Any]:
    """Return the objects and lists directly within."""
    within = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [child for child in within if isinstance(child, (dict, list))]


def _too_deep() -> Refused:
    return Refused("malformed_json", f"The body is nested deeper than {MAX_DEPTH} levels.")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse an object that gives a field twice: readers disagree about which one counts."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Refused("malformed_json", "A field is given twice.")
    return found


def _no_constant(_: str) -> NoReturn:
    raise ValueError


_strict = json.JSONDecoder(object_pairs_hook=_once, parse_constant=_no_constant)


def _strings(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Yield every string in a document with the path of its field; names count as strings."""
    if isinstance(value, str):
        yield name or "body", value
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item, name)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield name or "body", key
            yield from _strings(item, _path(name, key))


def _complaints(document: dict[str, Any], model: Any, name: str = "") -> Iterator[FieldError]:
    """Yield what is wrong with each field of an object; unknown ones, where they are refused."""
    known = {field.encode_name: field for field in msgspec.structs.fields(model)}
    for key in document if model.__struct_config__.forbid_unknown_fields else ():
        if key not in known:
            yield FieldError(field=_path(name, key), reason="is not a known field")
    for key, field in known.items():
        if key not in document:
            if field.required:
                yield FieldError(field=_path(name, key), reason="is missing")
            continue
        value, nested = document[key], _struct_in(field.type)
        if isinstance(value, dict) and nested is not None:
            yield from _complaints(value, nested, _path(name, key))
        elif (reason := _mismatch(value, field.type)) is not None:
            yield FieldError(field=_path(name, key), reason=reason)


def _mismatch(value: Any, kind: Any) -> str | None:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        words = [w for part in _parts(kind) if get_origin(part) is Literal for w in get_args(part)]
        if isinstance(value, str) and words:
            return f"is not accepted; accepted: {', '.join(words)}"
        text = str(error).partition(" - at")[0].replace("`", "")
        return text[:1].lower() + text[1:200]
    return None


def _struct_in(kind: Any) -> type[msgspec.Struct] | None:
    found = (part for part in _parts(kind) if isinstance(part, type))
    return next((part for part in found if issubclass(part, msgspec.Struct)), None)


def _parts(kind: Any) -> tuple[Any, ...]:
    """Return the alternatives of a type, without their annotations."""
    while hasattr(kind, "__metadata__"):
        kind = kind.__origin__
    return get_args(kind) if isinstance(kind, UnionType) else (kind,)


def _path(name: str, key: str) -> str:
    shown = key.encode("ascii", "backslashreplace").decode()[:_MAX_NAME_CHARS]
    return f"{name}.{shown}" if name else shown


def _invalid(errors: list[FieldError]) -> Refused:
    return Refused("invalid_request", errors=errors[:_MAX_ERRORS])
