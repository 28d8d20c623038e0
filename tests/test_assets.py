from urllib.parse import urlsplit

import pytest

from airflow_provider_flowengine.assets import convert_asset_to_openlineage, create_asset, sanitize_uri


def sanitized(uri):
    return sanitize_uri(urlsplit(uri)).geturl()


def test_a_pipeline_is_named_by_gateway_engine_and_key():
    asset = create_asset(host="gw.example.com", port=31101, engine_key="cess-data-3", pipeline="train")

    assert asset.uri == "flowengine://gw.example.com:31101/cess-data-3/train"


def test_an_asset_without_a_port_and_with_extra():
    asset = create_asset(host="gw.example.com", engine_key="cess-data-3", pipeline=12, extra={"team": "risk"})

    assert (asset.uri, asset.extra) == ("flowengine://gw.example.com/cess-data-3/12", {"team": "risk"})


def test_names_that_are_no_ascii_or_hold_slashes_survive():
    asset = create_asset(host="gw", engine_key="引擎", pipeline="a/b")

    assert asset.uri == "flowengine://gw/%E5%BC%95%E6%93%8E/a%2Fb"
    assert sanitized(asset.uri) == asset.uri


@pytest.mark.parametrize(
    "spelling",
    ["flowengine://GW.Example.com/engine/train", "flowengine://user@gw.example.com/engine/t%72ain"],
)
def test_every_spelling_of_a_pipeline_becomes_one(spelling):
    assert sanitized(spelling) == "flowengine://gw.example.com/engine/train"


def test_an_ipv6_host_keeps_its_brackets():
    assert sanitized("flowengine://[::1]:31101/engine/train") == "flowengine://[::1]:31101/engine/train"


@pytest.mark.parametrize(
    "uri",
    [
        "flowengine:///engine/train",
        "flowengine://gw/engine",
        "flowengine://gw/engine/",
        "flowengine://gw//train",
        "flowengine://gw/engine/train/7",
        "flowengine://gw/engine/train?run=7",
        "flowengine://gw/engine/train#7",
    ],
)
def test_what_names_no_pipeline_is_refused_with_the_form_to_use(uri):
    with pytest.raises(ValueError, match=r"flowengine://host\[:port\]/engine_key/pipeline"):
        sanitized(uri)


def test_openlineage_sees_the_gateway_as_namespace_and_the_pipeline_as_name():
    asset = create_asset(host="gw", port=31101, engine_key="引擎", pipeline="train")

    dataset = convert_asset_to_openlineage(asset, None)

    assert (dataset.namespace, dataset.name) == ("flowengine://gw:31101", "引擎/train")
