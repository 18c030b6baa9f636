"""Room 3, the world: the connections to one provider: address, headers, TLS, proxy, pool.

May import: standard library, openai, aiohttp, certifi.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from io import BytesIO
from urllib.parse import urlsplit, urlunsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import certifi
from openai import AsyncOpenAI

OPENAI_BASE_URL = "https://api.openai.com/v1"
"""Where OpenAI itself is."""

_KEEP_ALIVE_SECONDS = 30.0
_TAIL_SECONDS = 1.0
_LARGE_BODY_BYTES = 2**20


class Provider:
    """Sends requests to one base URL over a pool of connections without a limit.

    The openai client lends what it knows (normalised address, authorisation, user agent); it sends
    nothing. Its environment variables have no say: everything comes as an argument.

    Args:
        api_key: Any word where the server asks for none; printable ASCII without blanks.
        base_url: `http` or `https`, without user and password; a query is kept.
        organization: OpenAI's header of that name.
        project: OpenAI's header of that name.
        extra_headers: Sent with every request; they win over ours.
        connect_timeout_seconds: For name look-up, connection and TLS together.
        use_environment_proxy: Whether `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` count.

    Raises:
        ValueError: The key or the address cannot be used. The message holds neither.
    """

    def __init__(
        self,
        *,
        api_key: str,
        base_url: str,
        organization: str | None,
        project: str | None,
        extra_headers: Mapping[str, str] | None,
        connect_timeout_seconds: float,
        use_environment_proxy: bool,
    ) -> None:
        _check_key(api_key)
        _check_address(base_url)
        self._client = AsyncOpenAI(api_key=api_key, base_url=base_url, max_retries=0)
        self.base_url = str(self._client.base_url)
        parts = urlsplit(self.base_url)
        self.host = parts.hostname or ""
        self._before_path = urlunsplit(parts._replace(query="", fragment=""))
        self._after_path = f"?{parts.query}" if parts.query else ""
        self._headers = _headers(self._client, organization, project) | dict(extra_headers or {})
        self._timeout = aiohttp.ClientTimeout(total=None, connect=connect_timeout_seconds)
        self._tls = _tls() if self.base_url.startswith("https:") else None
        self._proxy = _proxy(self.base_url) if use_environment_proxy else None
        self._session: aiohttp.ClientSession | None = None
        self._tails: dict[aiohttp.ClientResponse, asyncio.TimerHandle] = {}
        self._is_closed = False

    async def send(self, method: str, path: str, body: bytes | None) -> aiohttp.ClientResponse:
        """Send one request, once, and return when the head of the answer is there.

        Args:
            method: Of HTTP.
            path: Below the base URL, whose query is kept.
            body: JSON.

        Raises:
            aiohttp.ClientError: Not reached, or broken on the way.
        """
        data = BytesIO(body) if body and len(body) > _LARGE_BODY_BYTES else body
        url = f"{self._before_path}{path}{self._after_path}"
        return await self._open_session().request(method, url, data=data, allow_redirects=False)

    def let_go(self, response: aiohttp.ClientResponse) -> None:
        """Give the connection of a whole answer back to the pool.

        The last bytes (the empty chunk of HTTP) are often still on their way: nobody waits for
        them, the connection goes back when they come, and is closed if they do not.
        """
        if response.closed:
            return
        loop = asyncio.get_running_loop()
        self._tails[response] = loop.call_later(_TAIL_SECONDS, self._cut, response)
        response.content.on_eof(lambda: self._forget(response))

    async def aclose(self) -> None:
        """Close all connections. No request can be sent afterwards."""
        self._is_closed = True
        for response in tuple(self._tails):
            self._cut(response)
        if self._session is not None:
            await self._session.close()
        await self._client.close()

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is not None:
            return self._session
        if self._is_closed:
            raise aiohttp.ClientConnectionError("the adapter is closed")
        connector = aiohttp.TCPConnector(
            limit=0,
            keepalive_timeout=_KEEP_ALIVE_SECONDS,
            ttl_dns_cache=60,
            ssl=self._tls or True,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            headers=self._headers,
            timeout=self._timeout,
            cookie_jar=aiohttp.DummyCookieJar(),
            proxy=self._proxy,
        )
        return self._session

    def _cut(self, response: aiohttp.ClientResponse) -> None:
        self._forget(response)
        response.close()

    def _forget(self, response: aiohttp.ClientResponse) -> None:
        if timer := self._tails.pop(response, None):
            timer.cancel()


def _headers(client: AsyncOpenAI, organization: str | None, project: str | None) -> dict[str, str]:
    headers = {
        "Accept": "application/json",
        "Accept-Encoding": "identity",
        "Content-Type": "application/json",
        "User-Agent": client.user_agent,
        **client.auth_headers,
    }
    if organization:
        headers["OpenAI-Organization"] = organization
    if project:
        headers["OpenAI-Project"] = project
    return headers


def _check_key(api_key: str) -> None:
    if not api_key or not api_key.isascii() or not api_key.isprintable() or " " in api_key:
        raise ValueError("api_key must be printable ASCII without blanks, and not empty")


def _check_address(base_url: str) -> None:
    parts = urlsplit(base_url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("base_url must be an http or https address")
    if parts.username or parts.password:
        raise ValueError("base_url must not hold a user or a password")


def _tls() -> ssl.SSLContext:
    """The authorities of the system, for a company's own, and certifi's, for a bare container."""
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context


def _proxy(base_url: str) -> str | None:
    """Look the proxy up once: aiohttp would read the environment and ~/.netrc for every request."""
    parts = urlsplit(base_url)
    host = parts.hostname or ""
    if host in {"localhost", "::1"} or host.startswith("127.") or proxy_bypass(parts.netloc):
        return None
    proxy = getproxies().get(parts.scheme, "")
    return proxy if proxy.startswith(("http://", "https://")) else None
