"""What the installed Airflow makes of the provider's description."""

import importlib
import json
import subprocess
import sys
from importlib.metadata import entry_points
from importlib.resources import files

import airflow
import jsonschema
import pytest
from airflow.providers.common.compat.sdk import Asset
from airflow.providers_manager import ProvidersManager
from packaging.version import Version

from airflow_provider_flowengine import __version__
from airflow_provider_flowengine.connection_form import (
    EXTRA_FIELDS,
    STANDARD_FIELDS,
    conn_fields,
    form_behaviour,
    ui_field_behaviour,
)
from airflow_provider_flowengine.get_provider_info import get_provider_info
from airflow_provider_flowengine.links import FlowEngineRunLink

AIRFLOW_3 = Version(airflow.__version__).major >= 3


def schema(name):
    return json.loads(files("airflow").joinpath(name).read_text())


def test_airflow_finds_the_provider_by_its_entry_point():
    (entry_point,) = (
        entry_point
        for entry_point in entry_points(group="apache_airflow_provider")
        if entry_point.dist.name == "airflow-provider-flowengine"
    )

    assert entry_point.load() is get_provider_info
    assert ProvidersManager().providers["airflow-provider-flowengine"].version == __version__


def test_the_description_is_valid_by_airflows_own_schema():
    jsonschema.validate(get_provider_info(), schema("provider_info.schema.json"))


def test_the_connections_fields_are_valid_by_airflows_own_schema():
    if not files("airflow").joinpath("provider.yaml.schema.json").is_file():
        pytest.skip("Airflow before 3.2 has no schema of connection fields")
    connection_type = schema("provider.yaml.schema.json")["properties"]["connection-types"]["items"]["properties"]
    if "conn-fields" not in connection_type:
        pytest.skip("Airflow before 3.2 has no schema of connection fields")

    jsonschema.validate(conn_fields(), connection_type["conn-fields"])
    jsonschema.validate(ui_field_behaviour(), connection_type["ui-field-behaviour"])


def test_the_connections_behaviour_is_valid_by_airflows_own_schema():
    jsonschema.validate(form_behaviour(), schema("customized_form_field_behaviours.schema.json"))


def test_everything_that_the_description_names_is_there():
    info = get_provider_info()
    modules = [
        module
        for kind in ("operators", "sensors", "hooks", "triggers")
        for entry in info[kind]
        for module in entry["python-modules"]
    ]
    (connection_type,) = info["connection-types"]
    (asset_uri,) = info["asset-uris"]
    names = [connection_type["hook-class-name"], *info["extra-links"]]
    names += [value for key, value in asset_uri.items() if key != "schemes"]

    for module in modules:
        importlib.import_module(module)
    for name in names:
        module, _, attribute = name.rpartition(".")
        assert hasattr(importlib.import_module(module), attribute), name


@pytest.mark.filterwarnings("ignore:ProvidersManager.hooks is deprecated")  # its successor is missing before 3.2
def test_the_hook_is_known_by_connection_type():
    hook = ProvidersManager().hooks["flowengine"]

    assert (hook.hook_name, hook.connection_id_attribute_name, hook.connection_testable) == (
        "FlowEngine",
        "flowengine_conn_id",
        True,
    )


@pytest.mark.skipif(not AIRFLOW_3, reason="about the connection form of Airflow 3")
def test_airflow_3_shows_every_field_in_its_form():
    # In a process of its own: to ask for the form, 3.0 and 3.1 replace WTForms before any hook is imported.
    code = """
from airflow.api_fastapi.core_api.services.ui.connections import HookMetaService
(form,) = (meta for meta in HookMetaService.hook_meta_data() if meta.connection_type == "flowengine")
print("form:", form.model_dump_json())
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    (form,) = (json.loads(line.removeprefix("form:")) for line in run.stdout.splitlines() if line.startswith("form:"))
    standard = {name.removeprefix("url_"): field["title"] for name, field in form["standard_fields"].items() if field}
    extra = {name: field["schema"] for name, field in form["extra_fields"].items()}

    assert standard == {field.name: field.label for field in STANDARD_FIELDS}
    assert {name: schema["title"] for name, schema in extra.items()} == {f.name: f.label for f in EXTRA_FIELDS}
    assert {name for name, schema in extra.items() if schema.get("format") == "password"} == {"headers"}


@pytest.mark.skipif(AIRFLOW_3, reason="about the connection form of Airflow 2")
def test_airflow_2_shows_every_field_in_its_form():
    manager = ProvidersManager()
    widgets = {
        widget.field_name: widget
        for name, widget in manager.connection_form_widgets.items()
        if name.startswith("extra__flowengine__")
    }

    assert set(widgets) == {field.name for field in EXTRA_FIELDS}
    assert {name for name, widget in widgets.items() if widget.is_sensitive} == {"headers"}
    assert manager.field_behaviours["flowengine"]["relabeling"] == {
        field.name: field.label for field in STANDARD_FIELDS
    }


def test_the_link_is_registered():
    name = f"{FlowEngineRunLink.__module__}.{FlowEngineRunLink.__qualname__}"

    assert name in ProvidersManager().extra_links_class_names


def test_airflow_normalises_assets_of_our_scheme():
    assert Asset("flowengine://GW.example.com/engine/train/").uri == "flowengine://gw.example.com/engine/train"
