"""Put data, style and code into one HTML file that needs nothing else."""

from __future__ import annotations

import hashlib
import html
import json
import re
from base64 import b64encode
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

_FOLDER = files("asrkit") / "browser"
_SCRIPTS = ("score.js", "confusions.js", "timeline.js", "page.js")
_SLOT = re.compile(r"\{\{(\w+)\}\}")


def render_page(data: Mapping[str, Any], title: str) -> bytes:
    """Write a page that shows `data`; the same data give the same bytes.

    The page may load nothing and run nothing but its own script, whatever the data hold: its
    Content-Security-Policy names that script by its hash.

    Parameters
    ----------
    data
        JSON values, as `browser.build` makes them.
    title
        Of the page.

    Returns
    -------
    bytes
        ASCII but for what the template holds; UTF-8.
    """
    style = _read("page.css")
    script = "".join(_read(name) for name in _SCRIPTS)
    parts = {
        "title": html.escape(title),
        "style": style,
        "script": script,
        "style_hash": _hash(style),
        "script_hash": _hash(script),
        "data": _to_json(data),
    }
    # One pass: what stands for a slot is not searched for slots.
    page = _SLOT.sub(lambda slot: parts[slot[1]], _read("page.html"))
    return page.encode("utf-8", "backslashreplace")


def _to_json(data: Mapping[str, Any]) -> str:
    """Write JSON that cannot end the script element it stands in, nor open a comment there."""
    text = json.dumps(data, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", r"\u003c").replace(">", r"\u003e").replace("&", r"\u0026")


def _hash(text: str) -> str:
    return "sha256-" + b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _read(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")
