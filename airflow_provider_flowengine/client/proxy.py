"""The proxy that the environment names for an address, the same for both transports."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from requests.utils import get_environ_proxies, select_proxy

if TYPE_CHECKING:
    from airflow_provider_flowengine.protocol.redaction import Redactor


class ProxyAddressError(Exception):
    """The environment names a proxy whose address cannot be parsed."""


def proxy_for(url: str, redact: Redactor) -> str | None:
    """
    Return the proxy that the environment names for an address, or None.

    :param url: the address.
    :param redact: learns the proxy's credentials, which are never shown from then on.
    :raises ProxyAddressError: if the proxy's own address cannot be parsed.
    """
    proxy = select_proxy(url, get_environ_proxies(url))
    if not proxy:
        return None
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    redact.learn(*_credentials(proxy))
    try:
        parts = urlsplit(proxy)
        is_valid = bool(parts.hostname) and parts.port != 0 and "@" not in f"{parts.path}{parts.query}{parts.fragment}"
    except ValueError:
        is_valid = False
    if not is_valid:
        raise ProxyAddressError(
            "the address of the environment's proxy cannot be parsed; special characters of its password, such as /, "
            "must be percent-encoded"
        )
    return proxy


def _credentials(proxy: str) -> set[str]:
    """Return what must not be seen of a proxy's address, as it is written there and as it is sent."""
    credentials, at, _ = proxy.partition("://")[2].rpartition("@")
    password = credentials.partition(":")[2]
    parts = re.split(r"[/?#@:]", password)  # at which a parser may break it up
    return {text for part in (credentials, password, *parts) for text in (part, unquote(part)) if at}
