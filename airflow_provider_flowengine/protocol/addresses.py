"""How an address is written, and which redirects may be followed."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode, urljoin, urlsplit

from airflow_provider_flowengine.protocol.http import REDIRECT_STATUSES

if TYPE_CHECKING:
    from airflow_provider_flowengine.protocol.http import Response


@lru_cache(maxsize=4096)
def address(gateway: str, path: str, query: tuple[tuple[str, str | int], ...]) -> str:
    """
    Put an address together; remembered, since polls ask for the same ones again and again.

    :param gateway: the gateway's address, without a trailing slash.
    :param path: the path below it, with its leading slash.
    :param query: the query's parameters.
    """
    return _ascii(f"{gateway}{path}?{urlencode(query, errors='surrogatepass')}" if query else f"{gateway}{path}")


def redirect_target(url: str, response: Response) -> str | None:
    """
    Return where a response redirects to, if that is on the same host and no less safe: credentials go there too.

    :param url: the address that was asked.
    :param response: what it answered.
    """
    if response.status not in REDIRECT_STATUSES or not response.headers.get("location"):
        return None
    try:
        target = _ascii(urljoin(url, response.headers["location"]))
        here, there = urlsplit(url), urlsplit(target)
    except ValueError:
        return None
    safe = there.hostname == here.hostname and there.scheme in (here.scheme, "https") and "@" not in there.netloc
    return target if safe and target != url else None


def _ascii(url: str) -> str:
    """Escape what no address may hold, and leave what is escaped already: transports would each do so in their way."""
    return quote(url, safe="%/:?#[]@!$&'()*+,;=~", errors="surrogatepass")
