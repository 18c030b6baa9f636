"""Takes the pictures that the documents show: `make screenshots`.

May import: standard library, playwright, tests.browser.
"""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Literal

from playwright.async_api import Browser, async_playwright, expect

from tests.browser.chat import PASSAGE, Chat
from tests.browser.conftest import ARGUMENTS, PROGRAMS
from tests.browser.site import Site, open_site
from tests.browser.visitor import PHONE, visiting

FOLDER = Path(__file__).parents[2] / "docs" / "images"
MOST_BYTES = 150_000
SCREEN = {"width": 1200, "height": 700}
ANSWER = """As long as the projection of its **center of mass** is inside, gravity cannot tip it:

1. The floor pushes somewhere inside the polygon.
2. The feet choose where, by ankle torque.
3. At the edge there is nothing left to push with.

```python
margin = distance_to_edge(com_xy, polygon)
standing = margin > 0.0
```
"""
PICTURES: list[tuple[str, dict[str, int], Literal["light", "dark"]]] = [
    ("page-light", SCREEN, "light"),
    ("page-dark", SCREEN, "dark"),
    ("page-phone", PHONE, "light"),
]


async def converse(chat: Chat, site: Site) -> None:
    """Ask about a passage of the chapter, and get an answer."""
    site.llm.script(ANSWER)
    await chat.button("Close chat").click()
    await chat.select(PASSAGE)
    await chat.button("Ask about this").click()
    await chat.ask("Why does it not fall over while it stands still?")
    answer = await chat.hear("standing = margin")
    await expect(answer.locator("pre code")).to_be_visible()
    await chat.page.evaluate("() => getSelection().removeAllRanges()")


async def take(browser: Browser) -> None:
    """Take all pictures."""
    FOLDER.mkdir(exist_ok=True)
    for name, size, scheme in PICTURES:
        async with open_site() as site, visiting(browser, site.address, size, scheme=scheme) as v:
            chat = await v.tab()
            await converse(chat, site)
            path = FOLDER / f"{name}.png"
            await chat.page.screenshot(path=path, animations="disabled")
            if path.stat().st_size > MOST_BYTES:
                raise SystemExit(f"{path} is larger than {MOST_BYTES} bytes")


async def main() -> None:
    """Start Chromium and take them."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        raise SystemExit("there is no Chromium here; on Debian and Ubuntu: apt install chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        await take(browser)
        await browser.close()


if __name__ == "__main__":
    asyncio.run(main())
