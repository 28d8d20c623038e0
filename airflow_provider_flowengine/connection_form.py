"""
What a ``flowengine`` connection is called, and its fields: one table, from which every Airflow draws its form.

Airflow 3.2 and later read the form from the provider's description (:func:`conn_fields`,
:func:`ui_field_behaviour`); earlier ones ask the hook's class, which answers with :func:`form_widgets` and
:func:`form_behaviour`. Nothing here imports Airflow, since it is read when Airflow discovers its providers.

A form stores text where JSON would hold a flag or an object, and an empty field as ``""`` or ``None``: who
reads the connection takes all spellings.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

CONNECTION_TYPE = "flowengine"
DEFAULT_CONN_ID = "flowengine_default"
HOOK_NAME = "FlowEngine"


@dataclass(frozen=True)
class StandardField:
    """
    A field that every Airflow connection has, with the meaning that FlowEngine gives it.

    :param name: Airflow's name of it: ``host``, ``schema``, ``port``, ``login`` or ``password``.
    :param label: what the form calls it.
    :param placeholder: what an empty field shows; also says the default.
    """

    name: str
    label: str
    placeholder: str


@dataclass(frozen=True)
class ExtraField:
    """
    A field of our own, kept in the connection's extra; its default is in its help, and never stored by the form.

    :param name: its key in extra.
    :param label: what the form calls it.
    :param help: what it is for, as the form says beside it.
    :param type: its JSON schema type; an ``object`` may also come as its JSON text.
    :param choices: the only values that it takes; empty for any.
    :param examples: values that the form proposes.
    :param minimum: the smallest number that it takes.
    :param secret: whether the form hides its value.
    """

    name: str
    label: str
    help: str
    type: Literal["string", "number", "object"] = "string"
    choices: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()
    minimum: int | None = None
    secret: bool = False


STANDARD_FIELDS = (
    StandardField("host", "Gateway", "gw.example.com, or https://gw.example.com/flowengine"),
    StandardField("schema", "Scheme", "http (default) or https; not needed when the gateway is a URL"),
    StandardField("port", "Port", "31101; empty for the scheme's own"),
    StandardField("login", "User id", "1 (default); with authentication session: the account's name"),
    StandardField("password", "Access key", "empty when the installation asks for none; session: the password"),
)

EXTRA_FIELDS = (
    ExtraField(
        "engine_key",
        "Engine key",
        "The engine that tasks use unless they name one themselves: the key that FlowEngine shows for your"
        " application, e.g. cess-data-3.",
    ),
    ExtraField(
        "api_root",
        "API root",
        "Where the engine serves its API: kernel/v1 (default), or automl/v1 for installations of the older generation"
        " (their engine's address begins with /automl-engine/).",
        choices=("kernel/v1", "automl/v1"),
    ),
    ExtraField(
        "authentication",
        "Authentication",
        "How to sign in: user (default) sends the user id, and the access key if there is one, with every request;"
        " session takes login and password for an account and signs in by it.",
        choices=("user", "session"),
    ),
    ExtraField(
        "user_id",
        "User id of a session",
        "With authentication session: the user id that is sent with every request, 1 unless it is given.",
    ),
    ExtraField(
        "verify",
        "Verify TLS",
        "Whether an https gateway must show a certificate that is trusted: true (default), false, or the path of a file"
        " with the CA certificates to trust (it must be on every worker and triggerer).",
        examples=("true", "false", "/etc/ssl/certs/company-ca.pem"),
    ),
    ExtraField(
        "timeout",
        "Timeout (seconds)",
        "How long one request may take to be answered, 30 by default. While a run is waited for, a slow answer doesn't"
        " fail the task: it is asked for again.",
        type="number",
        minimum=1,
    ),
    ExtraField(
        "engine_patience",
        "Engine patience (seconds)",
        "How long a call waits for an engine that is stopped, restarting or moving, 60 by default. While a run is"
        " waited for, the task's unreachable_timeout counts instead.",
        type="number",
        minimum=0,
    ),
    ExtraField(
        "max_response_size",
        "Largest answer (MiB)",
        "How much of one answer is read at most, after decompression, 32 by default: a long run history of an"
        " installation that knows no pages may need more.",
        type="number",
        minimum=1,
    ),
    ExtraField(
        "headers",
        "Headers",
        "More HTTP headers for every request, as a JSON object; for a gateway that asks for its own,"
        ' e.g. {"X-Tenant": "risk", "Authorization": "Bearer …"}. Their values are masked in logs.',
        secret=True,
    ),
    ExtraField(
        "timezone",
        "Time zone",
        "The zone of times that FlowEngine gives without one, which is its database's: UTC, or a name such as"
        " Asia/Shanghai. If runs seem to start some hours off, it is this. If it is empty, it is found out from a"
        " run that a task starts, and UTC until then.",
        examples=("UTC", "Asia/Shanghai"),
    ),
    ExtraField(
        "status_words",
        "More status words",
        "Words that your installation uses for a run's state and that this provider doesn't know, as a JSON"
        ' object from running, success, failed or stopped to lists of words, e.g. {"success": ["ok"]}.',
        type="object",
    ),
    ExtraField(
        "workspace_id",
        "Workspace id",
        "Sent as X-Prophet-Workspace-Id when given; commercial installations with workspaces ask for it.",
    ),
    ExtraField(
        "ui_url",
        "Page of a run",
        "The address that the task's link “FlowEngine run” opens; by default the list of pipelines:"
        " {fl_url}{engine_url}/#/offline-pipeline. May hold {fl_url} (the gateway), {engine_url}, {engine_key},"
        " {pipeline_id} and {run_id}.",
    ),
)


def conn_fields() -> dict[str, dict[str, object]]:
    """Return the fields of extra as the provider's ``conn-fields`` (from Airflow 3.2)."""
    return {
        field.name: {"label": field.label, "description": field.help, "schema": _json_schema(field)}
        for field in EXTRA_FIELDS
    }


def ui_field_behaviour() -> dict[str, object]:
    """Return the standard fields as the provider's ``ui-field-behaviour`` (from Airflow 3.2)."""
    return {
        "hidden-fields": ["extra"],  # every key of it has a field of its own
        "relabeling": {field.name: field.label for field in STANDARD_FIELDS},
        "placeholders": {field.name: field.placeholder for field in STANDARD_FIELDS},
    }


def form_widgets() -> dict[str, Any]:
    """
    Return the fields of extra for the hook's ``get_connection_form_widgets`` (before Airflow 3.2).

    :return: An unbound WTForms field by name. Airflow 3.0 and 3.1 put a stand-in in WTForms' place while they
        call this, hence the imports here, and nothing used but what the stand-in has.
    """
    from flask_appbuilder.fieldwidgets import BS3PasswordFieldWidget, BS3TextFieldWidget
    from wtforms import IntegerField, PasswordField, StringField
    from wtforms.validators import Optional, any_of

    def widget(field: ExtraField) -> Any:
        field_class = {"number": IntegerField}.get(field.type, PasswordField if field.secret else StringField)
        return field_class(
            field.label,
            description=field.help,
            widget=BS3PasswordFieldWidget() if field.secret else BS3TextFieldWidget(),
            validators=[Optional(), *([any_of(list(field.choices))] if field.choices else [])],
        )

    return {field.name: widget(field) for field in EXTRA_FIELDS}


def form_behaviour() -> dict[str, object]:
    """Return the standard fields for the hook's ``get_ui_field_behaviour`` (before 3.2)."""
    return {key.replace("-", "_"): value for key, value in ui_field_behaviour().items()}


def _json_schema(field: ExtraField) -> dict[str, object]:
    """Describe one field; "null" keeps it optional in the form."""
    schema: dict[str, object] = {"type": [field.type, "null"]}
    optional = {
        "enum": list(field.choices),
        "examples": list(field.examples),
        "minimum": field.minimum,
        "format": "password" if field.secret else None,
    }
    return schema | {key: value for key, value in optional.items() if value not in (None, [])}
