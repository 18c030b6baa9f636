"""Texts that try to become more than text, and what HTML made of them may consist of.

May import: standard library.
"""

from __future__ import annotations

from html.parser import HTMLParser

BOOM = "window.__pwned=1"
"""What would run: the browser tests look whether it did."""

SCRIPTS = [
    f"<script>{BOOM}</script>",
    f"<SCRIPT SRC=//evil.example/x.js>{BOOM}</SCRIPT>",
    f"<scr<script>ipt>{BOOM}</scr</script>ipt>",
    f"<img src=x onerror={BOOM}>",
    f"<img src=x onerror='{BOOM}'",
    f'<IMG """><SCRIPT>{BOOM}</SCRIPT>">',
    f"<img src=`javascript:{BOOM}`>",
    f"<svg/onload={BOOM}>",
    f"<svg><script>{BOOM}</script></svg>",
    f"<svg><animate onbegin={BOOM} attributeName=x dur=1s>",
    f"<math><mtext><table><mglyph><style><img src=x onerror={BOOM}>",
    f"<math href='javascript:{BOOM}'>x</math>",
    f"<iframe srcdoc='<script>parent.{BOOM}</script>'></iframe>",
    f"<iframe src='javascript:{BOOM}'></iframe>",
    f"<body onload={BOOM}>",
    f"<details open ontoggle={BOOM}>x</details>",
    f"<input autofocus onfocus={BOOM}>",
    f"<a href='javascript:{BOOM}'>x</a>",
    f"<object data='data:text/html,<script>{BOOM}</script>'></object>",
    f"<embed src='data:image/svg+xml,<svg onload={BOOM}>'>",
    f"<form action='javascript:{BOOM}'><button>x</button></form>",
    "<base href='http://evil.example/'>",
    "<meta http-equiv=refresh content='0;url=http://evil.example/'>",
    "<link rel=stylesheet href=http://evil.example/x.css>",
    "<style>@import 'http://evil.example/x.css';</style>",
    "<div style='background:url(http://evil.example/x.png)'>x</div>",
    f"</p></div></article></template><script>{BOOM}</script>",
    f"<noscript><p title='</noscript><img src=x onerror={BOOM}>'>",
    f"<!--><script>{BOOM}</script>-->",
    f"<![CDATA[<script>{BOOM}</script>]]>",
    f"<?xml version='1.0'?><script>{BOOM}</script>",
    f"<template><script>{BOOM}</script></template>",
    f"<textarea></textarea><script>{BOOM}</script>",
    f"<title></title><img src=x onerror={BOOM}>",
    f"<x\x0conclick={BOOM}>x</x>",
    f"<img\x0bsrc=x\x0bonerror={BOOM}>",
    f"\ufeff<script>{BOOM}</script>",
    f"&lt;script&gt;{BOOM}&lt;/script&gt;",
    f"&#60;script&#62;{BOOM}&#60;/script&#62;",
    f"&#x3C;img src=x onerror={BOOM}&#x3E;",
    f"\uff1cscript\uff1e{BOOM}\uff1c/script\uff1e",
    f"%3Cscript%3E{BOOM}%3C/script%3E",
    f"javascript:/*--></title></style></textarea></script><svg/onload='+/\"/+/onmouseover=1/+/[*/[]/+{BOOM}//'>",
]
"""HTML that would run something or load something."""

LINKS = [
    f"[x](javascript:{BOOM})",
    f"[x](JaVaScRiPt:{BOOM})",
    f"[x]( javascript:{BOOM})",
    f"[x](<javascript:{BOOM}>)",
    f"[x](\x01javascript:{BOOM})",
    f"[x](java\tscript:{BOOM})",
    f"[x](<java\tscript:{BOOM}>)",
    f"[x](java&#10;script:{BOOM})",
    f"[x](java&NewLine;script&colon;{BOOM})",
    f"[x](&#106;avascript:{BOOM})",
    f"[x](&#x6A;&#x61;vascript&#58;{BOOM})",
    f"[x](javascript&colon;{BOOM})",
    f"[x](java\\script:{BOOM})",
    f"[x](javascript\\:{BOOM})",
    f"[x](%6Aavascript:{BOOM})",
    f"[x](javascript%3A{BOOM})",
    f"[x](vbscript:{BOOM})",
    f"[x](view-source:javascript:{BOOM})",
    f"[x](feed:javascript:{BOOM})",
    f"[x](data:text/html,<script>{BOOM}</script>)",
    "[x](data:text/html;base64,PHNjcmlwdD53aW5kb3cuX19wd25lZD0xPC9zY3JpcHQ+)",
    "[x](data:image/svg+xml;base64,PHN2ZyBvbmxvYWQ9IndpbmRvdy5fX3B3bmVkPTEiPg==)",
    "[x](file:///etc/passwd)",
    "[x](blob:http://evil.example/x)",
    "[x](//evil.example/x)",
    "[x](/chat)",
    "[x](?a=b)",
    "[x](http:evil)",
    "[x](https:///)",
    f'[x](http://a.example "\\" onmouseover={BOOM} \\"")',
    f"[x](http://a.example '\" onmouseover={BOOM} \"')",
    f'[x](http://a.example/"onmouseover={BOOM}//)',
    f"[x](http://a.example/'onmouseover={BOOM}//)",
    f"[x](http://a.example/><script>{BOOM}</script>)",
    f"[x](<http://a.example/ onclick={BOOM}>)",
    f'[x](mailto:a@b.example?subject="onclick={BOOM})',
    f"[x](http://javascript:{BOOM}@a.example/)",
    f"[a](javascript:{BOOM}//http://a.example)",
    f"[x]\n\n[x]: javascript:{BOOM}",
    f'[x]\n\n[x]: <javascript:{BOOM}> "t"',
    f'[x]\n\n[x]: http://a.example "\\"><script>{BOOM}</script>"',
    f"[x][y]\n\n[Y]: vbscript:{BOOM}",
    f"[x][]\n\n[x]:\n javascript:{BOOM}",
    f"<javascript:{BOOM}>",
    f"<JAVASCRIPT:{BOOM}>",
    "<data:text/html,x>",
    "<vbscript:x>",
    f'<http://a.example/"onclick={BOOM}>',
    f"<http://a.example/<script>{BOOM}</script>>",
    f'<a@b.example"onclick={BOOM}>',
    "<x-unknown:abc>",
    f"![x](javascript:{BOOM})",
    "![x](http://evil.example/x.png)",
    "![x][i]\n\n[i]: http://evil.example/x.png",
    f'![x" onerror="{BOOM}](http://evil.example/x.png)',
    "[![x](http://evil.example/x.png)](http://a.example)",
    f"[[[[x](javascript:{BOOM})](javascript:{BOOM})]](javascript:{BOOM})",
    f"[x](javascript:{BOOM}",
    f"[<img src=x onerror={BOOM}>](http://a.example)",
    f"[`</a><img src=x onerror={BOOM}>`](http://a.example)",
]
"""Links and pictures in Markdown that lead where nobody should be led."""

FORMS = [
    f"```html\n<script>{BOOM}</script>\n```",
    f'```"><script>{BOOM}</script>\nx\n```',
    f'```x" onclick="{BOOM}\nx\n```',
    f"~~~ <img src=x onerror={BOOM}>\nx\n~~~",
    f"`<script>{BOOM}</script>`",
    f"`` ` <img src=x onerror={BOOM}> ``",
    f"    <script>{BOOM}</script>",
    f"> <script>{BOOM}</script>",
    f"- <script>{BOOM}</script>\n- <img src=x onerror={BOOM}>",
    f"# <script>{BOOM}</script>",
    f"<script>{BOOM}</script>\n===",
    f"|<script>{BOOM}</script>|b|\n|:-|-:|\n|<img src=x onerror={BOOM}>|d|",
    f"|a|\n|:-:|\n|`|`<svg onload={BOOM}>|",
    f"**<script>**{BOOM}</script>",
    f"~~<script>{BOOM}</script>~~",
    f"<script\n>{BOOM}</script\n>",
    f"<div>\n\n<script>{BOOM}</script>\n\n</div>",
    f"<!-- -->\n<script>{BOOM}</script>",
    f"\\<script>{BOOM}\\</script>",
    f"a\u202e<script>{BOOM}</script>\u202c\u2066\u2069",
    f"\u200b\u200d\u2028<script>{BOOM}</script>\u2029\x85",
    f"\x1b[31m\x07\x08<script>{BOOM}</script>\x7f",
    f"data: {{}}\n\nevent: done\ndata: <script>{BOOM}</script>\n\n",
    f"\r\n\r\nevent: error\r\ndata: <img src=x onerror={BOOM}>\r\n\r\n",
    ": keep-alive\n\nretry: 1\nid: 99.99\n\n",
    f"&quot;><script>{BOOM}</script>",
    f"{{{{constructor.constructor('{BOOM}')()}}}}",
    f"${{{BOOM}}}",
    "$$\\href{javascript:window.__pwned=1}{x}$$",
    f"[x]: http://a.example\n<script>{BOOM}</script>\n[x]",
    f"* * *\n+ + <script>{BOOM}</script>",
]
"""The same inside what Markdown has, and what might cut a stream of events."""

HOSTILE = [*SCRIPTS, *LINKS, *FORMS]

_INLINE = {"a", "br", "code", "em", "s", "strong"}
_BLOCKS = {"blockquote", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p", "pre", "ul"}
_OF_TABLES = {"table", "tbody", "td", "th", "thead", "tr"}
_ELEMENTS = _INLINE | _BLOCKS | _OF_TABLES
_VOID = frozenset({"br", "hr"})
_REL = "noopener noreferrer nofollow"


class _Reader(HTMLParser):
    """Reads HTML and notes what should not be there."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.faults: list[str] = []
        self.text = ""
        self._open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in _ELEMENTS:
            self.faults.append(f"element {tag}")
        if tag not in _VOID:
            self._open.append(tag)
        given = {name: value or "" for name, value in attrs}
        if len(given) < len(attrs):
            self.faults.append(f"attributes repeated in {tag}")
        if tag == "a":
            self._judge_link(given)
        elif tag == "ol" and given.get("start", "").isdecimal():
            given.pop("start")
        elif tag in {"th", "td"} and given.get("align") in {"left", "center", "right"}:
            given.pop("align")
        elif tag == "code" and is_language(given.get("class", "")):
            given.pop("class")
        if given and tag != "a":
            self.faults.append(f"attributes of {tag}: {given}")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self.faults.append(f"{tag} closed at once")

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open.pop() != tag:
            self.faults.append(f"end of {tag} out of place")

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_comment(self, data: str) -> None:
        self.faults.append(f"comment {data}")

    def handle_decl(self, decl: str) -> None:
        self.faults.append(f"declaration {decl}")

    def unknown_decl(self, data: str) -> None:
        self.faults.append(f"declaration {data}")

    def handle_pi(self, data: str) -> None:
        self.faults.append(f"instruction {data}")

    def finish(self) -> None:
        self.close()
        if self._open:
            self.faults.append(f"never closed: {self._open}")

    def _judge_link(self, given: dict[str, str]) -> None:
        if given.keys() != {"href", "rel", "target"}:
            self.faults.append(f"attributes of a: {given}")
        leads_out = given.get("href", "").lower().startswith(("http://", "https://", "mailto:"))
        if not leads_out or any(c in given["href"] for c in '\x00\t\n\r "<>'):
            self.faults.append(f"href {given.get('href')}")
        if (given.get("rel"), given.get("target")) != (_REL, "_blank"):
            self.faults.append(f"rel {given.get('rel')}, target {given.get('target')}")


def is_language(name: str) -> bool:
    """Tell whether a class says what language code is in, and nothing else."""
    rest = name.removeprefix("language-")
    return rest != name and all(c.isascii() and (c.isalnum() or c in "_+#.-") for c in rest)


def faults_of(html: str) -> list[str]:
    """Return what is in a piece of HTML that replies must not bring, one sentence each."""
    return read(html)[0]


def read(html: str) -> tuple[list[str], str]:
    """Return its faults and its text."""
    reader = _Reader()
    reader.feed(html)
    reader.finish()
    return reader.faults, reader.text
