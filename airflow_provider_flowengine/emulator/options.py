"""How the emulator answers where the sources differ, or say nothing.

One table: the command line's options, the control endpoint and the Python handle are all made from it. Every default
follows the vendor's API page where that says something.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

RUN_STATES = ("running", "stopping", "succeeded", "failed", "stopped")
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


Seconds = Annotated[float, Field(ge=0)]


class Options(BaseModel):
    """The emulator's behaviour; every field can be set while it runs."""

    model_config = ConfigDict(validate_assignment=True, extra="forbid", allow_inf_nan=False)

    # The engine
    engine_key: str = Field("demo", description="the engine's key; another one is unknown")
    engine_url: Annotated[str, AfterValidator(_a_path)] = Field(
        "/engine/15/cess-data-3", description="path of the engine behind the gateway"
    )
    engine_id: int = Field(6, description="the engine's id")
    strict_engine_id: bool = Field(
        False, description="check engineId in the calls where clients get away with anything"
    )
    generation: Literal["both", "kernel", "automl"] = Field("both", description="which API roots the engine serves")
    wrong_address: Literal[404, 502, 503] = Field(404, description="what the gateway says where no engine is")

    # Who may call
    authentication: Literal["user", "access_key", "session"] = Field(
        "user", description="what a request must bring: X-FlowEngine-UserId, Access-Key, or the cookie of a session"
    )
    access_key: str = Field("", description="the only access key accepted; when set, it is required")
    username: str = Field("admin", description="account of the session call")
    password: str = Field("admin", description="password of the session call")
    login_wall: bool = Field(False, description="answer everything with a login page, HTML and status 200")

    # Shapes
    success_status: Literal[200, 201, 202] = Field(200, description="HTTP status of a success")
    envelope_status: Literal["number", "text"] = Field("number", description='0 or "0" in the envelope')
    handshake: Literal["data", "top", "nested"] = Field("data", description="where url and engineId stand")
    ids: Literal["number", "text"] = Field("number", description="ids as numbers or as strings")
    times: Literal["ms", "text"] = Field("ms", description="epoch milliseconds, or yyyy-MM-dd HH:mm:ss")
    timezone: Annotated[str, AfterValidator(_known_zone)] = Field("UTC", description="zone of times given as text")
    clock_skew: float = Field(0, description="seconds by which the times told are ahead of the true ones")
    pipelines_under: str = Field(
        "", description="name that holds the list of pipelines in data; empty: data is the list"
    )
    history_under: str = Field(
        "generation",
        description="name that holds the list of runs in data; empty: data is the list; generation: list in kernel/v1,"
        " none in automl/v1",
    )
    history_order: Literal["descending", "ascending", "shuffled"] = Field(
        "descending", description="order of runs by id"
    )
    history_paging: Literal["generation", "always", "never"] = Field(
        "generation", description="whether the history is paged; by generation: kernel/v1 pages, automl/v1 doesn't"
    )
    history_delay: Seconds = Field(0, description="seconds after its start before a run appears in the history")
    start_answer: Literal["run", "run_without_id", "empty", "pipeline"] = Field(
        "run", description="what data the start call answers with"
    )
    vocabulary: Literal["lower", "upper", "success", "chinese"] = Field("lower", description="status words")
    words: Annotated[dict[str, str], AfterValidator(_known_states)] = Field(
        default_factory=dict, description='words that differ from the vocabulary, as JSON {"succeeded": "DONE"}'
    )
    one_run_call: bool = Field(True, description="whether GET /pipeline/{run}/get exists")

    # Behaviour
    node_seconds: Seconds = Field(1, description="how long a simulated node takes that has no param `duration`")
    stop_seconds: Seconds = Field(0.5, description="how long a run is stopping before it is stopped")
    refuse_start: str = Field("", description="refuse every start with this message")
    refuse_stop: str = Field("", description="refuse every stop with this message")
    refuse_resume: str = Field("", description="refuse every resume with this message")
    duplicate_keys: Literal["accept", "refuse"] = Field(
        "accept", description="whether two pipelines may have one pipelineKey"
    )
    max_json_bytes: int = Field(5 * 2**20, ge=1, description="largest JSON body taken")
    max_upload_bytes: int = Field(50 * 2**20, ge=1, description="largest file taken by the upload call")

    def word(self, state: str) -> str:
        """FlowEngine's word for a state.

        :param state: one of :data:`RUN_STATES` or :data:`NODE_STATES`.
        :returns: the word that goes over the wire; the state's own name where nothing else is set.
        """
        return self.words.get(state) or VOCABULARIES[self.vocabulary].get(state, state)
