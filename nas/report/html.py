"""One HTML file that needs no other: the page's own markup, style and script, and the content as JSON."""

import errno
import json
import os
from pathlib import Path
from typing import Any

from nas.errors import NasError
from nas.json_file import finite
from nas.storage import write_bytes

_FOLDER = Path(__file__).parent / "page"
_STYLE, _SCRIPT, _CONTENT = "/*STYLE*/", "/*SCRIPT*/", '"CONTENT"'
SCRIPTS = (
    "dom.js",
    "model.js",
    "scale.js",
    "front.js",
    "blocks.js",
    "network.js",
    "charts.js",
    "path.js",
    "compared.js",
    "table.js",
    "provenance.js",
    "main.js",
)
"""In the order in which they are put into the page."""


def render(content: dict[str, Any]) -> str:
    """The page. Everything that a user named is in the JSON alone, and becomes text in the browser, never markup."""
    page, style = (_read(name) for name in ("page.html", "page.css"))
    script = "\n".join(_read(name) for name in SCRIPTS)
    head, _, rest = page.partition(_STYLE)
    body, _, rest = rest.partition(_CONTENT)
    between, _, tail = rest.partition(_SCRIPT)
    return "".join((head, style, body, embedded(content), between, script, tail))


def embedded(content: object) -> str:
    """JSON that may stand inside of a script element: without `<`, an end tag or a comment cannot begin in it."""
    text = json.dumps(finite(content), separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def write_page(content: dict[str, Any], path: Path) -> int:
    """Write the page; returns its bytes.

    Raises:
        NasError: no such folder, or the file cannot be written; a former one stays as it was.
    """
    if not path.parent.is_dir():
        raise NasError(f"{path}: {os.strerror(errno.ENOENT)}")
    data = render(content).encode("utf-8", "backslashreplace")
    write_bytes(path, data, "page")
    return len(data)


def _read(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")
