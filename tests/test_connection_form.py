from inspect import signature

from airflow_provider_flowengine.connection_form import (
    EXTRA_FIELDS,
    conn_fields,
    form_behaviour,
    ui_field_behaviour,
)
from airflow_provider_flowengine.protocol.settings import Settings


def test_every_field_of_extra_explains_itself_in_a_sentence():
    assert all(field.label and field.help.endswith(".") for field in EXTRA_FIELDS)


def test_no_field_is_required_by_the_form():
    types = {name: field["schema"]["type"] for name, field in conn_fields().items()}

    assert all("null" in type_ for type_ in types.values()), types


def test_no_default_is_stored_by_the_form():
    assert [name for name, field in conn_fields().items() if "default" in field["schema"]] == []


def test_every_field_of_extra_is_one_that_settings_take():
    assert {field.name for field in EXTRA_FIELDS} <= set(signature(Settings.build).parameters)


def test_headers_may_hold_secrets_and_are_hidden():
    assert conn_fields()["headers"]["schema"] == {"type": ["string", "null"], "format": "password"}


def test_both_roots_of_the_api_are_offered():
    assert conn_fields()["api_root"]["schema"] == {
        "type": ["string", "null"],
        "enum": ["kernel/v1", "automl/v1"],
    }


def test_older_airflows_get_the_same_behaviour_under_python_names():
    assert form_behaviour() == {
        "hidden_fields": ["extra"],
        "relabeling": ui_field_behaviour()["relabeling"],
        "placeholders": ui_field_behaviour()["placeholders"],
    }
