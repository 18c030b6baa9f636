"""Room 4, the door: the model there is.

May import: standard library, app, litestar.
"""

from __future__ import annotations

from litestar import Response, get

from app.doors.openai.answers import show
from app.doors.openai.bodies import check_model
from app.doors.openai.objects import Model, ModelList
from app.http.parameters import IdInPath, Service

_CREATED = 0
"""Nobody told us when it was made; the clients want a number."""


@get("/models")
async def list_models(chat_service: Service) -> Response[bytes]:
    """Return the model that answers."""
    return show(ModelList(data=[Model(id=chat_service.model, created=_CREATED)]))


@get("/models/{model_id:path}")
async def get_model(model_id: IdInPath, chat_service: Service) -> Response[bytes]:
    """Return the model that answers, if that is its name, which may hold slashes."""
    check_model(model_id.removeprefix("/"), chat_service)
    return show(Model(id=chat_service.model, created=_CREATED))
