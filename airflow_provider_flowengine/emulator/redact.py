"""What the log of calls keeps of secrets: nothing."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode

if TYPE_CHECKING:
    from collections.abc import Mapping

MASK = "***"

_SECRET = re.compile(r"access.?key|api.?key|secret|token|passw|pwd|authorization|cookie|credential", re.IGNORECASE)
# A JSON string whose name tells a secret; and a param whose key does, as definitions have it.
_TEXT = r'"(?:[^"\\]|\\.)*"'
_VALUE = r'(?:"(?:[^"\\]|\\.)*"?|-?\d[\d.eE+-]*)'  # a text may be cut off where the log ends
_MEMBER = re.compile(rf"({_TEXT}\s*:\s*){_VALUE}")
_PARAM = re.compile(rf'("key"\s*:\s*({_TEXT})\s*,\s*"value"\s*:\s*){_VALUE}')


def headers(values: Mapping[str, str]) -> dict[str, str]:
    """
    Return headers with secret ones masked.

    :param values: name to value.
    """
    return {name: MASK if _SECRET.search(name) else value for name, value in values.items()}


def query(text: str) -> str:
    """
    Return a query with secret values masked.

    :param text: the query as it came.
    """
    pairs = parse_qsl(text, keep_blank_values=True)
    if not any(_SECRET.search(name) for name, _ in pairs):
        return text
    return urlencode([(name, MASK if _SECRET.search(name) else value) for name, value in pairs], safe="*")


def body(text: str) -> str:
    """
    Return a JSON body with secret texts masked.

    :param text: the body, or its beginning.
    """
    text = _MEMBER.sub(lambda match: f'{match[1]}"{MASK}"' if _SECRET.search(match[1]) else match[0], text)
    return _PARAM.sub(lambda match: f'{match[1]}"{MASK}"' if _SECRET.search(match[2]) else match[0], text)
