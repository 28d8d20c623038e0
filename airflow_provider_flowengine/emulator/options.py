"""
How the emulator answers if the sources differ, or say nothing.

One table: the command line's options, the control endpoint and the Python handle are all made from it. Every default
follows the vendor's API page if it says something.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from .definition import MAX_RETRIES, MAX_SECONDS, Defaults
from .generations import COMMERCIAL, KERNEL, OPEN_SOURCE, PRESETS

RUN_STATES = ("running", "stopping", "succeeded", "failed", "stopped")
TRIGGERS = ("manual", "interval", "cron", "message")
NODE_STATES = ("waiting", "running", "succeeded", "failed", "stopped", "unreached")

# Words of the same vendor's neighbouring enums, and of its web page. Source: the vendor's client, its documentation.
VOCABULARIES: dict[str, dict[str, str]] = {
    "lower": {},
    "upper": {
        "running": "RUNNING", "stopping": "STOPPING", "succeeded": "SUCCEEDED", "failed": "FAILED",
        "stopped": "TERMINATED", "waiting": "AWAITING", "unreached": "INITIALIZED",
    },
    "success": {
        "running": "RUNNING", "stopping": "STOPPING", "succeeded": "SUCCESS", "failed": "FAILURE",
        "stopped": "TERMINATED", "waiting": "AWAITING", "unreached": "AWAITING",
    },
    "chinese": {
        "running": "运行中", "stopping": "停止中", "succeeded": "运行成功", "failed": "运行失败",
        "stopped": "已停止", "waiting": "等待中", "unreached": "未运行",
    },
}  # fmt: skip


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(f"unknown time zone {name!r}; give an IANA name such as Asia/Shanghai") from error
    return name


def _a_path(text: str) -> str:
    if not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+", text):
        raise ValueError(f"{text!r} is no path such as /engine/15/cess-data-3, without a slash at its end")
    return text


def _known_states(words: dict[str, str]) -> dict[str, str]:
    states = dict.fromkeys((*RUN_STATES, *NODE_STATES))
    if unknown := [state for state in words if state not in states]:
        raise ValueError(f"no state is called {', '.join(unknown)}; states: {', '.join(states)}")
    return words


def _known_triggers(words: dict[str, str]) -> dict[str, str]:
    if unknown := [trigger for trigger in words if trigger not in TRIGGERS]:
        raise ValueError(f"no run comes about by {', '.join(unknown)}; but by: {', '.join(TRIGGERS)}")
    return words


Seconds = Annotated[float, Field(ge=0, le=MAX_SECONDS)]


class Options(BaseModel):
    """The emulator's behaviour; every field can be set while it runs."""

    model_config = ConfigDict(validate_assignment=True, extra="forbid", allow_inf_nan=False)

    # The engine
    engine_key: str = Field("demo", description="the engine's key; another one is unknown")
    engine_url: Annotated[str, AfterValidator(_a_path)] = Field(
        "/engine/15/cess-data-3", description="path of the engine behind the gateway"
    )
    engine_id: int = Field(6, description="the engine's id")
    strict_engine_id: bool = Field(False, description="check engineId in the query too, where FlowEngine accepts any")
    generation: Literal["both", "kernel", "automl"] = Field("both", description="which API roots the engine serves")
    automl_dialect: Literal["commercial", "open_source"] = Field(
        "commercial", description="what automl/v1 is: the commercial one of 2020, or the open source one up to 0.0.3.2"
    )
    engine_key_in_query: Literal["generation", "required", "optional"] = Field(
        "generation", description="whether a call must carry engineKey; by generation: optional in the commercial one"
    )
    engine_running: bool = Field(True, description="false: the engine is away, and its gateway answers in its place")
    wrong_address: Literal[404, 502, 503] = Field(
        404, description="the gateway's status if no engine is there; 404: as a stock one, 405 to PUT and DELETE"
    )

    # Who may call
    authentication: Literal["user", "access_key", "session"] = Field(
        "user", description="what a request must hold: X-FlowEngine-UserId, Access-Key, or the cookie of a session"
    )
    access_key: str = Field("", description="the only access key accepted; when set, it is required")
    username: str = Field("admin", description="account of the session call")
    password: str = Field("admin", description="password of the session call")
    login_wall: bool = Field(False, description="answer everything with a login page, HTML and status 200")
    session_calls: Annotated[int, Field(ge=0)] = Field(
        0, description="how many calls a session takes before it ends; 0: no limit"
    )
    session_seconds: Seconds = Field(0, description="how long a session lasts; 0: for ever")
    session_over: Literal["status", "wall", "envelope"] = Field(
        "status",
        description="what a call without a session gets: HTTP status 401, a login page with status 200, or an envelope"
        " with status 401 in it and HTTP status 200",
    )

    # Shapes
    success_status: Literal[200, 201, 202] = Field(200, description="HTTP status of a success")
    envelope_status: Literal["number", "text"] = Field("number", description='0 or "0" in the envelope')
    handshake: Literal["data", "top", "nested"] = Field("data", description="where the answer holds url and engineId")
    ids: Literal["number", "text"] = Field("number", description="ids as numbers or as strings")
    times: Literal["ms", "text"] = Field("ms", description="epoch milliseconds, or yyyy-MM-dd HH:mm:ss")
    timezone: Annotated[str, AfterValidator(_known_zone)] = Field("UTC", description="zone of times given as text")
    clock_skew: Annotated[float, Field(ge=-MAX_SECONDS, le=MAX_SECONDS)] = Field(
        0, description="seconds by which the times in answers are ahead of the true ones"
    )
    pipelines_under: str = Field(
        "", description="name that holds the list of pipelines in data; empty: data is the list"
    )
    pipelines_paging: Literal["never", "asked", "always"] = Field(
        "never", description="whether the list of pipelines is paged: never, if page or size is requested, or always"
    )
    pipelines_page_size: Annotated[int, Field(ge=1)] = Field(
        20, description="how many pipelines a page has that doesn't ask for a size"
    )
    history_under: str = Field(
        "generation",
        description="name that holds the list of runs in data; empty: data is the list; generation: list, and none in"
        " the commercial one",
    )
    history_order: Literal["descending", "ascending", "shuffled"] = Field(
        "descending", description="order of runs by id"
    )
    history_paging: Literal["generation", "always", "never"] = Field(
        "generation", description="whether the history is paged; by generation: all but the commercial one page it"
    )
    pages: Literal["end", "wrap", "repeat"] = Field(
        "end", description="what comes after the last page: nothing, the first page again, or the last one again"
    )
    totals: Literal["right", "none", "zero", "huge"] = Field("right", description="the total that a page names")
    run_fields: Literal["all", "times", "bare"] = Field(
        "all", description="a run's fields: all; without trigger and params; or its id and status alone"
    )
    history_delay: Seconds = Field(0, description="seconds after its start before a run appears in the history")
    start_answer: Literal["run", "run_without_id", "empty", "pipeline"] = Field(
        "run", description="what data the start call answers with"
    )
    vocabulary: Literal["lower", "upper", "success", "chinese"] = Field("lower", description="status words")
    words: Annotated[dict[str, str], AfterValidator(_known_states)] = Field(
        default_factory=dict, description='words that differ from the vocabulary, as JSON {"succeeded": "DONE"}'
    )
    trigger_words: Annotated[dict[str, str], AfterValidator(_known_triggers)] = Field(
        default_factory=dict, description='words for how a run came about, as JSON {"manual": "手动启动"}'
    )
    one_run_call: bool = Field(True, description="whether GET /pipeline/{run}/get exists")

    # Behaviour
    node_seconds: Seconds = Field(1, description="how long a simulated node takes that has no param `duration`")
    stop_seconds: Seconds = Field(0.5, description="how long a run is stopping before it is stopped")
    retry_count: Annotated[int, Field(ge=0, le=MAX_RETRIES)] = Field(
        0, description="how often a failed node is tried again whose definition says no retryCount"
    )
    settable_params: Literal["all", "marked"] = Field(
        "all", description='params that a start can set: all but those marked "startParam": false, or those marked true'
    )
    answer_delay: Annotated[float, Field(ge=0, le=3600)] = Field(0, description="seconds by which every answer is late")
    close_connections: bool = Field(False, description="close the connection after each answer")
    refuse_start: str = Field("", description="refuse every start with this message")
    refuse_stop: str = Field("", description="refuse every stop with this message")
    refuse_resume: str = Field("", description="refuse every resume with this message")
    duplicate_keys: Literal["accept", "refuse"] = Field(
        "accept", description="whether two pipelines may have one pipelineKey"
    )
    max_json_bytes: int = Field(5 * 2**20, ge=1, description="largest JSON body taken")
    max_upload_bytes: int = Field(50 * 2**20, ge=1, description="largest file taken by the upload call")

    @classmethod
    def like(cls, name: str = "", **options: Any) -> Self:
        """
        Return the options of a preset, and more.

        :param name: a key of :data:`.generations.PRESETS`; empty for none.
        :param options: fields that differ from it.
        :raises ValueError: when there is no such preset, or a field makes no sense.
        """
        if name and name not in PRESETS:
            raise ValueError(f"there is no preset {name!r}; presets: {', '.join(PRESETS)}")
        return cls(**{**PRESETS.get(name, {}), **options})

    def dialect(self, root: str) -> str | None:
        """
        Return the dialect that is spoken under an API root, None if nothing answers there.

        :param root: ``kernel/v1`` or ``automl/v1``.
        """
        if self.generation not in ("both", root.partition("/")[0]):
            return None
        automl = COMMERCIAL if self.automl_dialect == "commercial" else OPEN_SOURCE
        return {"kernel/v1": KERNEL, "automl/v1": automl}.get(root)

    @property
    def defaults(self) -> Defaults:
        """What holds if a pipeline's definition doesn't say it."""
        return Defaults(self.retry_count, self.settable_params == "all")

    def word(self, state: str) -> str:
        """
        Return FlowEngine's word for a state.

        :param state: one of :data:`RUN_STATES` or :data:`NODE_STATES`.
        :return: the word that goes over the wire; the state's own name if nothing else is set.
        """
        return self.words.get(state) or VOCABULARIES[self.vocabulary].get(state, state)
