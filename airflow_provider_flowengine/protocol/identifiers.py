"""FlowEngine's ids; apart from what else its answers hold, since a DAG file that names one loads this."""

from __future__ import annotations

import re

Identifier = int | str
"""An id of FlowEngine's: an int when it is written in digits, text otherwise."""

_TOO_LONG = 10**19
"""Up to 19 digits are what the 64 bits of a database, or of a message between Airflow's processes, hold."""


def identifier(value: object) -> Identifier | None:
    """
    Return an id in its one form.

    :param value: a number or text; anything else is no id.
    :return: an int when it is written in digits, the text otherwise, None when there is none.
    """
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    if isinstance(value, int) and abs(value) < _TOO_LONG:
        return value
    text = str(value).strip()
    if not text:
        return None
    # Longer digits, or with leading zeros, are text that looks so.
    return int(text) if re.fullmatch(r"0|[1-9][0-9]{0,18}", text) else text
