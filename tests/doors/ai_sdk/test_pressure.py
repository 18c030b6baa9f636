"""What a process that is late lets in at this door.

May import: standard library, app, httpx, litestar, pytest, tests.
"""

from __future__ import annotations

from typing import Any, cast

import httpx
import pytest
from litestar import Litestar

from app.doors.ai_sdk import make_router
from app.http.auth import AnonymousAuthenticator
from app.http.pressure import Pressure
from app.http.problems import answer_problem
from tests.builders import bench
from tests.doors.ai_sdk.talking import CHAT, last


@pytest.mark.parametrize(("lag_seconds", "status"), [(0.0, 200), (10.0, 503)])
async def test_a_late_process(lag_seconds: float, status: int) -> None:
    """It refuses questions before it looks at them; looking and stopping it allows."""
    pressure = Pressure(0.1)
    pressure.lag_seconds = lag_seconds
    router = make_router(bench().service, AnonymousAuthenticator(), pressure)
    app = Litestar([router], exception_handlers={Exception: answer_problem})
    transport = httpx.ASGITransport(app=cast("Any", app))
    async with httpx.AsyncClient(transport=transport, base_url="http://t/api") as client:
        assert (await client.post("/chat", json=last("one"))).status_code == status
        assert (await client.get(f"/chat/{CHAT}")).status_code == 200
        assert (await client.get(f"/chat/{CHAT}/stream")).status_code == 204
        assert (await client.post(f"/chat/{CHAT}/stop")).status_code == 200
