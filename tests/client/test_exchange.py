"""What both transports say of a failure."""

import aiohttp
import pytest

from airflow_provider_flowengine.client import exchange

NAMED = {kind for kinds in (exchange._NETWORK, *exchange._DESCRIPTIONS) for kind in kinds if isinstance(kind, str)}


@pytest.mark.parametrize("name", sorted(NAMED))
def test_a_class_that_is_only_named_is_one_of_aiohttps(name):
    kind = getattr(aiohttp, name.removeprefix("aiohttp."))

    assert exchange._is_one_of(kind.__new__(kind), (name,))
    assert not exchange._is_one_of(ValueError(), (name,))
