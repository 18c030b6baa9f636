"""Room 4, the door: is this process alive, and should it get requests.

May import: standard library, app, litestar.
"""

from __future__ import annotations

from litestar import get

from app.http.parameters import Watch
from app.http.responses import problems
from app.http.views import HealthView


@get("/health", summary="Alive?", operation_id="health", tags=["health"], sync_to_thread=False)
def health() -> HealthView:
    """Answer, always cheaply: no database, no model."""
    return HealthView(status="ok")


@get(
    "/health/ready",
    summary="Ready?",
    operation_id="ready",
    tags=["health"],
    responses=problems("storage_unavailable", "schema_outdated", "service_stopping"),
)
async def ready(lifecycle: Watch) -> HealthView:
    """Answer 200 while the database is reachable and migrated, and the process is not stopping."""
    await lifecycle.require_ready()
    return HealthView(status="ready")
