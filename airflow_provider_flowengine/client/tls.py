"""Which certificates are trusted: the same for both transports."""

from __future__ import annotations

import os
import ssl

from requests.utils import DEFAULT_CA_BUNDLE_PATH

from airflow_provider_flowengine.protocol.errors import ConfigurationError


def ca_bundle(verify: bool | str) -> bool | str:
    """
    Return what to trust: a bundle's path, or False for any certificate.

    :param verify: what the connection says; True trusts what requests trusts: the environment's bundle, or certifi's.
    :raises ConfigurationError: when the bundle can't be read.
    """
    path = verify or False
    if verify is True:
        path = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or DEFAULT_CA_BUNDLE_PATH
    if isinstance(path, str) and path != DEFAULT_CA_BUNDLE_PATH:
        ssl_context(path)
    return path


def ssl_context(path: bool | str) -> ssl.SSLContext | bool:
    """Return the context that trusts a bundle, as :func:`ca_bundle` returns it."""
    if not isinstance(path, str):
        return False
    try:
        if os.path.isdir(path):
            return ssl.create_default_context(capath=path)
        return ssl.create_default_context(cafile=path)
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"verify: no CA bundle can be read from {path!r:.300}: {error}") from error
