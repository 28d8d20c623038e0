"""FlowEngine's ids; apart from what else its answers hold, since a DAG file that names one loads this."""

from __future__ import annotations

import re

Identifier = int | str
"""An id of FlowEngine's: an int when it is written in digits, text otherwise."""


def identifier(value: object) -> Identifier | None:
    """
    Return an id in its one form.

    :param value: a number or text; anything else is no id.
    :return: an int when it is written in digits, the text otherwise, None when there is none.
    """
    if type(value) is int:
        return value
    if isinstance(value, bool) or not isinstance(value, str | float):
        return None
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    text = str(value).strip()
    if not text:
        return None
    # Up to 19 digits: what a database's 64 bits hold. Longer digits, or with leading zeros, are text that looks so.
    return int(text) if re.fullmatch(r"0|[1-9][0-9]{0,18}", text) else text
