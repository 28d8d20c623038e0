"""Mask secrets in the log of calls."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode

if TYPE_CHECKING:
    from collections.abc import Mapping

MASK = "***"

_SECRET = re.compile(r"access.?key|api.?key|secret|token|passw|pwd|authorization|cookie|credential", re.IGNORECASE)
# Incomplete JSON, such as a body that the log cuts off, is read member by member. A name ends at the first quote or
# backslash, which keeps the time linear in the body's length; the last value may be cut off.
_NAME = r'"[^"\\]*+"'
_VALUE = r'(?:"(?:[^"\\]|\\.)*+"?|-?\d[\d.eE+-]*+)'
_MEMBER = re.compile(rf"({_NAME}\s*+:\s*+){_VALUE}", re.DOTALL)
_PARAM = re.compile(rf'("key"\s*+:\s*+({_NAME})\s*+,\s*+"value"\s*+:\s*+){_VALUE}', re.DOTALL)


def headers(values: Mapping[str, str]) -> dict[str, str]:
    """
    Return headers with secret ones masked.

    :param values: name to value.
    """
    return {name: MASK if _SECRET.search(name) else value for name, value in values.items()}


def query(text: str) -> str:
    """
    Return a query, or the body of a form, with secret values masked.

    :param text: the query as it came.
    """
    pairs = parse_qsl(text, keep_blank_values=True)
    if not any(_SECRET.search(name) for name, _ in pairs):
        return text
    return urlencode([(name, MASK if _SECRET.search(name) else value) for name, value in pairs], safe="*")


def body(text: str) -> str:
    """
    Return a body with secret values masked.

    :param text: the body, or its beginning.
    """
    try:
        value = json.loads(text)
        masked = _masked(value)
    except (ValueError, RecursionError):
        return _masked_text(text)
    return text if masked == value else json.dumps(masked, ensure_ascii=False)


def _masked(value: Any) -> Any:
    """Return JSON with the values of secret names masked, also in a param: an object whose ``key`` is such a name."""
    if isinstance(value, list):
        return [_masked(item) for item in value]
    if not isinstance(value, dict):
        return value
    secret = _secret_names(value)
    return {name: MASK if name in secret and item else _masked(item) for name, item in value.items()}


def _secret_names(value: Mapping[str, Any]) -> set[str]:
    names = {name for name in value if _SECRET.search(name)}
    return names | {"value"} if _SECRET.search(str(value.get("key"))) else names


def _masked_text(text: str) -> str:
    if '"' not in text:  # a form
        return query(text)
    text = _MEMBER.sub(lambda match: f'{match[1]}"{MASK}"' if _SECRET.search(match[1]) else match[0], text)
    return _PARAM.sub(lambda match: f'{match[1]}"{MASK}"' if _SECRET.search(match[2]) else match[0], text)
