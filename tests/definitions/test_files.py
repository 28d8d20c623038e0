"""How a pipeline is kept in files: what is exported comes back, fit for review."""

import json
import re
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from airflow_provider_flowengine.cli.workspace import write_files
from airflow_provider_flowengine.definition_files import read_definition
from airflow_provider_flowengine.definitions.content import without_server_fields
from airflow_provider_flowengine.definitions.diff import diff
from airflow_provider_flowengine.definitions.files import file_stem, to_files
from airflow_provider_flowengine.protocol.errors import ConfigurationError

from .strategies import pipelines


def read_back(files):
    with TemporaryDirectory() as folder:
        write_files(Path(folder), files)
        return read_definition(Path(folder) / "churn.json")


@given(pipelines(whole=True))
def test_a_pipeline_comes_back_from_its_files_as_it_was(pipeline):
    for inline in (False, True):
        back = read_back(to_files(pipeline, "churn", inline=inline))

        assert back == without_server_fields(pipeline)
        assert diff(pipeline, back).is_empty


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.text(st.characters(codec="utf-8")) | st.sampled_from(["\r\n", "\r", "\ufeffa\n", "\n", "\0\n"])).map(
        "".join
    )
)
@example("a\r\nb\rc\n")
@example("\ufeff#!/bin/sh\n\x1b\0\x85\u2028")
def test_a_script_goes_through_files_on_disk_to_the_byte(tmp_path, script):
    node = {"nodeId": "n", "indexType": "SHELL", "indexSource": script, "onError": script}
    pipeline = {"pipelineKey": "k", "data": {"nodes": [node]}}

    write_files(tmp_path, to_files(pipeline, "k"))

    assert read_definition(tmp_path / "k.json") == pipeline


@given(pipelines(whole=True))
def test_each_file_can_be_written_beside_the_others_on_any_file_system(pipeline):
    files = to_files(pipeline, "churn")

    assert len({path.casefold() for path in files}) == len(files)
    for path, text in files.items():
        assert path == "churn.json" or path.startswith("churn/")
        assert text.encode().decode() == text


@pytest.fixture
def pipeline():
    script = "import sys\r\nprint('你好')"
    return {
        "id": 19,
        "createTime": 1681468370000,
        "jobKey": None,
        "pipelineKey": "churn",
        "data": {
            "id": "b49a",
            "status": "init",
            "name": "流失",
            "onError": "echo one line",
            "nodes": [
                {
                    "nodeId": "train",
                    "status": "INITIALIZED",
                    "indexType": "PYTHON3",
                    "indexSource": script,
                    "onError": {"indexType": "PYTHON3", "indexSource": "a\nb"},
                    "onComplete": "c\nd\n",
                    "sensorJobConfig": None,
                    "executionConfig": {"retry_count": 1},
                }
            ],
            "openNodeMsgTopicConfig": [{"type": "POST_START", "topic": "T"}],
        },
    }


def test_scripts_stand_beside_the_json_to_the_byte(pipeline):
    files = to_files(pipeline, "churn")

    assert list(files) == ["churn.json", "churn/train.py", "churn/train.onComplete.sh", "churn/train.onError.py"]
    assert files["churn/train.py"] == "import sys\r\nprint('你好')"
    assert json.loads(files["churn.json"])["data"]["nodes"][0]["indexSource"] == {"$file": "churn/train.py"}


def test_the_json_is_fit_for_review(pipeline):
    text = to_files(pipeline, "churn")["churn.json"]
    kept = json.loads(text)

    assert text == json.dumps(kept, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    assert list(kept) == ["data", "pipelineKey"]
    assert "流失" in text
    assert not {"id", "status"} & {*kept["data"], *kept["data"]["nodes"][0]}
    assert "null" not in text


def test_unknown_fields_are_kept(pipeline):
    data = read_back(to_files(pipeline, "churn"))["data"]

    assert data["openNodeMsgTopicConfig"] == [{"type": "POST_START", "topic": "T"}]
    assert data["nodes"][0]["executionConfig"] == {"retry_count": 1}


def test_half_a_character_stays_in_the_json(pipeline):
    pipeline["data"]["nodes"][0]["indexSource"] = "a\n\ud800"

    files = to_files(pipeline, "churn")

    assert "churn/train.py" not in files
    assert files["churn.json"].encode()
    assert read_back(files)["data"]["nodes"][0]["indexSource"] == "a\n\ud800"


@pytest.mark.parametrize("name", ["churn-model_2.v1", "流失模型"])
def test_a_name_that_any_file_can_have_is_kept(name):
    assert file_stem(name, {"churn.json"}) == name


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("a/b", "a_b"),
        ("../x", "_x"),
        ("-rf", "rf"),
        ("con", "con"),
        ("", "pipeline"),
        ("CHURN", "CHURN"),
        ("x" * 300, "x" * 80),
    ],
)
def test_a_name_that_no_file_can_have_is_replaced_and_stays_unique(name, stem):
    assert re.fullmatch(f"{stem}-[0-9a-f]{{8}}", file_stem(name, {"churn.json"}))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "line 1, column 2: not JSON"),
        ("[]", "one JSON object, not a list"),
        ('{"a": 1, "a": 2}', "'a' stands twice"),
        ("[" * 100_000, "more than 100 levels deep"),
        ('{"a": ' + "[" * 200 + "]" * 200 + "}", "more than 100 levels deep"),
        ('{"a": NaN}', "NaN is no number"),
        ('{"a": 1e999}', "1e999 is no number"),
        ('{"data": {"x": {"$file": "../secret"}}}', r"below .*churn.json's folder"),
        ('{"data": {"x": {"$file": "/etc/passwd"}}}', r"below .*churn.json's folder"),
        ('{"data": {"x": {"$file": "a\\u0000b"}}}', r"below .*churn.json's folder"),
        ('{"data": {"x": {"$file": 3}}}', r"below .*churn.json's folder"),
    ],
)
def test_a_bad_file_is_named_with_the_reason(tmp_path, text, reason):
    file = tmp_path / "pipelines" / "churn.json"
    file.parent.mkdir()
    file.write_text(text)
    (tmp_path / "secret").write_text("secret")

    with pytest.raises(ConfigurationError, match=reason) as raised:
        read_definition(file)

    assert str(raised.value).startswith(f"{file}: ")


def test_a_file_that_an_editor_began_with_a_byte_order_mark_is_read(tmp_path):
    file = tmp_path / "a.json"
    file.write_text('\ufeff{"nodes": []}', encoding="utf-8")

    assert read_definition(file) == {"data": {"nodes": []}}


def test_a_field_that_would_be_taken_for_a_file_is_refused(pipeline):
    pipeline["data"]["x"] = {"$file": "y"}

    with pytest.raises(ConfigurationError, match=r"\$file"):
        to_files(pipeline, "churn")
