"""What a connection says, checked, as one value."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from string import Formatter
from typing import TYPE_CHECKING, Self
from urllib.parse import SplitResult, urlsplit

from airflow_provider_flowengine.protocol.arguments import parse_zone
from airflow_provider_flowengine.protocol.content import MAX_RESPONSE_SIZE
from airflow_provider_flowengine.protocol.errors import ConfigurationError, known
from airflow_provider_flowengine.protocol.http import Request, address
from airflow_provider_flowengine.protocol.redaction import Redactor
from airflow_provider_flowengine.protocol.status import RunState, StatusVocabulary, fold
from airflow_provider_flowengine.protocol.versions import API_VERSIONS, KERNEL, ApiVersion

if TYPE_CHECKING:
    from airflow_provider_flowengine.protocol.identifiers import Identifier
    from airflow_provider_flowengine.protocol.models import Engine

DEFAULT_USER = "1"
"""The id of the account in a default set-up. Sources: the vendor's API page, its deployment files."""

DEFAULT_UI_URL = "{fl_url}{engine_url}/#/offline-pipeline"
UI_URL_FIELDS = ("fl_url", "engine_url", "engine_key", "pipeline_id", "run_id")
DEFAULT_TIMEOUT = 30.0
DEFAULT_ENGINE_PATIENCE = 60.0
MAX_SECONDS = 86_400.0
USER, SESSION = "user", "session"
_TRANSPORT_HEADERS = frozenset(
    "connection content-encoding content-length expect keep-alive proxy-connection te trailer transfer-encoding "
    "upgrade".split()
)
"""Headers that say how the bytes of one request are sent (RFC 9110, 9112): a wrong one breaks the next request too."""

_SECRET_NAME = re.compile("key|token|auth|cookie|secret|password", re.IGNORECASE)
MAX_CONNECT_TIMEOUT = 10.0
"""Seconds that a connection may take to come about, whatever a request's timeout."""


@dataclass(frozen=True)
class Settings:
    """
    How to reach FlowEngine, and how to read it.

    :param fl_url: the gateway, without a trailing slash; a path in it is kept.
    :param engine_key: the default engine, or empty.
    :param versions: the dialects of the API that may be spoken, in the order in which they are tried; default the
        newest generation's only one.
    :param headers: the headers of every request, who asks among them.
    :param authentication: ``user`` (by headers alone, the default) or ``session`` (signed in by an account).
    :param account: the account's name and password for ``session``; empty otherwise.
    :param verify: whether TLS certificates are checked, or the path of a CA bundle to check against; default True.
    :param timeout: seconds a request may take to answer, default 30.
    :param timezone: the zone of times that FlowEngine gives without one; empty if the connection names none.
    :param engine_patience: seconds that an engine may be away during a call outside a wait, default 60.
    :param vocabulary: the status words.
    :param ui_url: the template of a run's page.
    :param max_response_size: bytes of a response that are read at most, decompressed; default 32 MiB.
    :param redact: hides the connection's secrets in a text, and shortens it; each text that leaves goes through it.
    :param source: what says so, for errors, e.g. ``connection flowengine_default (type flowengine)``.
    """

    fl_url: str
    engine_key: str = ""
    versions: tuple[ApiVersion, ...] = (KERNEL,)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    authentication: str = USER
    account: tuple[str, str] = field(default=("", ""), repr=False)
    verify: bool | str = True
    timeout: float = DEFAULT_TIMEOUT
    timezone: str = ""
    engine_patience: float = DEFAULT_ENGINE_PATIENCE
    vocabulary: StatusVocabulary = field(default_factory=StatusVocabulary)
    ui_url: str = DEFAULT_UI_URL
    max_response_size: int = MAX_RESPONSE_SIZE
    redact: Redactor = field(default_factory=Redactor, repr=False, compare=False)
    source: str = field(default="the connection", compare=False)

    @classmethod
    def build(
        cls,
        *,
        fl_url: str,
        user: str = "",
        access_key: str = "",
        engine_key: object = "",
        api_root: object = "",
        authentication: object = "",
        user_id: object = "",
        verify: object = True,
        timeout: object = None,
        headers: Mapping[str, object] | None = None,
        timezone: object = "",
        engine_patience: object = None,
        status_words: Mapping[str, str | Sequence[str]] | None = None,
        workspace_id: object = "",
        ui_url: object = "",
        max_response_size: object = None,
        source: str = "the connection",
    ) -> Self:
        """
        Check what a connection says and return it as settings.

        :param fl_url: the gateway's address.
        :param user: sent as ``X-FlowEngine-UserId``; default ``1``. With ``session``, the account's name.
        :param access_key: sent as ``Access-Key`` if it isn't empty. With ``session``, the account's password.
        :param engine_key: the default engine.
        :param api_root: ``kernel/v1`` (default), or ``automl/v1`` for the older generations.
        :param authentication: ``user`` (default) or ``session``.
        :param user_id: with ``session``: sent as ``X-FlowEngine-UserId``; default ``1``.
        :param verify: true, false, or the path of a CA bundle.
        :param timeout: seconds, more than 0, at most a day; default 30.
        :param headers: more headers for every request; none that says how a single one is sent (``Content-Length``).
        :param timezone: a zone's name, e.g. ``Asia/Shanghai``.
        :param engine_patience: seconds, at most a day; default 60; 0 waits for no engine.
        :param status_words: more status words by what they mean.
        :param workspace_id: sent as ``X-Prophet-Workspace-Id`` if it is set.
        :param ui_url: the template of a run's page.
        :param max_response_size: MiB of a response that are read at most, decompressed; default 32.
        :param source: what says so, for errors.
        :raises ConfigurationError: naming the field, and what is allowed in it.
        """
        kind = _authentication(_text("authentication", authentication), user, access_key)
        account = (user, access_key) if kind == SESSION else ("", "")
        if kind == SESSION:
            user, access_key = _text("user_id", user_id), ""
        sent = _headers(user, access_key, _text("workspace_id", workspace_id), headers)
        return cls(
            fl_url=_gateway(fl_url),
            engine_key=_text("engine_key", engine_key),
            versions=_versions(_text("api_root", api_root)),
            headers=sent,
            authentication=kind,
            account=account,
            verify=_verify(verify),
            timeout=_seconds("timeout", timeout, DEFAULT_TIMEOUT),
            timezone=parse_zone("timezone", _text("timezone", timezone)),
            engine_patience=_seconds("engine_patience", engine_patience, DEFAULT_ENGINE_PATIENCE, may_be_zero=True),
            vocabulary=_vocabulary(status_words),
            ui_url=_template(_text("ui_url", ui_url)),
            max_response_size=_bytes(max_response_size),
            redact=Redactor(_secrets(account[1] or access_key, {name: sent[name.strip()] for name in headers or {}})),
            source=source,
        )

    def prepare(self, request: Request) -> Request:
        """Make a request ready for the wire; no secret of the connection is quoted in an error about it."""
        return replace(
            request,
            url=address(self.fl_url, request.path, request.query),
            headers=self.headers,
            timeout=self.timeout,
            redact=self.redact,
        )

    def run_url(self, engine: Engine, pipeline_id: Identifier, run_id: Identifier) -> str:
        """Return the address of a run's page, by the connection's ``ui_url`` template."""
        return self.ui_url.format(
            fl_url=self.fl_url,
            engine_url=engine.url,
            engine_key=engine.key,
            pipeline_id=pipeline_id,
            run_id=run_id,
        )


def _secrets(access_key: str, headers: Mapping[str, str]) -> set[str]:
    """
    Return what must not be seen: values, and the long words in a header's, such as a token.

    A value of up to eight characters is a secret only where its header's name sounds so: others are words such as
    ``pipeline``, which messages are full of.
    """
    secrets: set[str] = set()
    for name, value in [("Access-Key", access_key.strip()), *headers.items()]:
        shortest = 3 if _SECRET_NAME.search(name) else 9
        words = [word for word in re.split(r"[\s;,=]+", value) if len(word) >= max(shortest, 8)]
        secrets.update(words, [value] if len(value) >= shortest else [])
    return secrets


def _gateway(url: str) -> str:
    address = url.strip()
    parts = _split(address)
    if parts is None or re.search(r"[\s\\@\x00-\x1f\x7f]|://.*://", address):
        shown = re.sub(r"\?.*", "?***", f"***@{url.rpartition('@')[2]}" if "@" in url else url, flags=re.DOTALL)
        raise ConfigurationError(
            f"host: {shown!r} is no gateway address; write it like gw.example.com, or https://gw.example.com/fl, "
            "with the port in its own field, and credentials in login and password"
        )
    host = (parts.hostname or "").encode("idna").decode()
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}{port}{parts.path.rstrip('/')}"


def _split(address: str) -> SplitResult | None:
    """Return the parts of an address of http or https with a host and neither query nor fragment; None for others."""
    try:
        parts = urlsplit(address)
        (parts.hostname or "").encode("idna")
        is_one = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return None
    return parts if is_one and not parts.query and not parts.fragment else None


def _authentication(kind: str, user: str, password: str) -> str:
    chosen = kind.lower() or USER
    if chosen not in (USER, SESSION):
        raise ConfigurationError(f"authentication: {kind!r} isn't known; {known('kinds', (USER, SESSION))}")
    if chosen == SESSION and not (user.strip() and password):
        raise ConfigurationError("authentication: session needs the account's name in login, its password in password")
    return chosen


def _text(name: str, value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | None):
        raise ConfigurationError(f"{name}: {value!r} must be text or a number")
    return "" if value is None else str(value).strip()


def _headers(user: str, access_key: str, workspace_id: str, more: Mapping[str, object] | None) -> dict[str, str]:
    headers: dict[str, object] = {"X-FlowEngine-UserId": user.strip() or DEFAULT_USER}
    if access_key.strip():
        headers["Access-Key"] = access_key
    if workspace_id:
        headers["X-Prophet-Workspace-Id"] = workspace_id
    headers |= {str(name).strip(): value for name, value in (more or {}).items()}
    return {name: _header(name, value) for name, value in headers.items()}


def _header(name: str, value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ConfigurationError(f"headers: the value of {name!r} must be text, not {type(value).__name__}")
    text = str(value).strip()
    if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name) or not re.fullmatch(r"[\t -~]*", text):
        raise ConfigurationError(
            f"The header {name!r} can't be sent: its name must be a word, its value plain ASCII on one line"
        )
    if name.lower() in _TRANSPORT_HEADERS:
        raise ConfigurationError(
            f"headers: {name!r} can't be set, since it says how a single request is sent; the client sets it. Remove it"
        )
    return text


def _versions(api_root: str) -> tuple[ApiVersion, ...]:
    root = api_root.strip("/") or KERNEL.root
    if root not in API_VERSIONS:
        raise ConfigurationError(f"api_root: {api_root!r} isn't known; {known('roots', API_VERSIONS)}")
    return API_VERSIONS[root]


_FLAGS = {"true": True, "false": False}
_NO_PATHS = frozenset("0 1 yes no on off y n t f none null".split())


def _verify(value: object) -> bool | str:
    if value is None or isinstance(value, bool):
        return value is not False
    text = value.strip() if isinstance(value, str) else "no text"
    if not text:
        return True
    if text.lower() not in _NO_PATHS and text.isprintable() and isinstance(value, str):
        return _FLAGS.get(text.lower(), text)
    raise ConfigurationError(f"verify: {value!r} must be true, false, or the path of a CA bundle")


_STATES: dict[str, RunState] = {state: state for state in RunState if state is not RunState.UNKNOWN}
_STATES |= {"success": RunState.SUCCEEDED, "failure": RunState.FAILED}


def _vocabulary(status_words: Mapping[str, str | Sequence[str]] | None) -> StatusVocabulary:
    more: dict[RunState, list[str | int]] = {}
    for key, words in (status_words or {}).items():
        state = _STATES.get(str(key).casefold())
        if state is None:
            keys = known("keys", ("running", "success", "failed", "stopped"), wanted=key)
            raise ConfigurationError(f"status_words has the key {key!r}; {keys}")
        listed = [words] if isinstance(words, str) else words
        if not isinstance(listed, Sequence) or not all(map(_is_word, listed)):
            raise ConfigurationError(f"status_words[{key!r}] must be a list of words, not {words!r}")
        more.setdefault(state, []).extend(listed)
    _refuse_contradictions(more)
    return StatusVocabulary(more)


def _is_word(value: object) -> bool:
    """Whether a value is a status word; a blank one would give a meaning to a run without a status."""
    return isinstance(value, str | int) and not isinstance(value, bool) and bool(fold(value))


def _refuse_contradictions(more: Mapping[RunState, Sequence[str | int]]) -> None:
    meanings: dict[str, RunState] = {}
    for state, words in more.items():
        for word in words:
            if meanings.setdefault(fold(word), state) != state:
                raise ConfigurationError(
                    f"status_words: {word!r} has two meanings, {meanings[fold(word)]} and {state}; remove one"
                )


def _seconds(name: str, value: object, default: float, *, may_be_zero: bool = False) -> float:
    seconds = _number(value, default)
    if not 0 <= seconds <= MAX_SECONDS or not (seconds or may_be_zero):
        least = "at least 0" if may_be_zero else "more than 0"
        raise ConfigurationError(
            f"{name}: {value!r} must be a number of seconds, {least} and at most {MAX_SECONDS:g} (a day)"
        )
    return seconds


def _bytes(mebibytes: object) -> int:
    size = _number(mebibytes, MAX_RESPONSE_SIZE / 2**20) * 2**20
    if not 1 <= size < math.inf:
        raise ConfigurationError(f"max_response_size: {mebibytes!r} must be a number of MiB, more than 0")
    return int(size)


def _number(value: object, default: float) -> float:
    """Return a number; one that no setting allows for what is none."""
    try:
        return default if value in (None, "") else float(str(value))
    except ValueError:
        return -1.0


def _template(template: str) -> str:
    template = template or DEFAULT_UI_URL
    try:
        unknown = [field[1] for field in Formatter().parse(template) if not _is_allowed(*field[1:])]
    except ValueError as error:
        raise ConfigurationError(f"ui_url: {template!r} can't be read as a template: {error}") from None
    if unknown:
        raise ConfigurationError(
            f"ui_url: {{{unknown[0]}}} isn't known; {known('fields', UI_URL_FIELDS, wanted=unknown[0])}"
        )
    if not template.startswith(("{fl_url}", "http://", "https://")):
        raise ConfigurationError(f"ui_url: {template!r} must begin with {{fl_url}}, http:// or https://")
    return template


def _is_allowed(name: str | None, form: str | None, conversion: str | None) -> bool:
    """Whether a template's part is plain text, or a field that there is, as it is."""
    return name is None or (name in UI_URL_FIELDS and not form and not conversion)
