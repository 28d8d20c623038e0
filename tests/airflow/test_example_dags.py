"""The example DAGs, as Airflow's DAG processor and scheduler see them."""

import runpy
from importlib.metadata import version
from pathlib import Path

import pytest
from airflow.providers.common.compat.sdk import DAG

EXAMPLES = Path(__file__).parent.parent.parent / "example_dags"


def dags_of(path):
    return [value for value in runpy.run_path(str(path)).values() if isinstance(value, DAG)]


event_driven = pytest.mark.skipif(version("apache-airflow") < "3", reason="Airflow 2.11 has no event-driven DAGs")
MARKS = {"flowengine_asset_watcher": [event_driven]}

each_file = pytest.mark.parametrize(
    "path", [pytest.param(path, id=path.stem, marks=MARKS.get(path.stem, ())) for path in sorted(EXAMPLES.glob("*.py"))]
)


@each_file
def test_an_example_is_one_dag_that_explains_itself(path):
    (dag,) = dags_of(path)

    assert dag.dag_id == path.stem
    assert dag.description
    assert dag.doc_md
    assert {"flowengine", "example"} <= set(dag.tags)


@each_file
def test_an_example_comes_back_whole_from_airflows_database(path, serialized):
    (dag,) = dags_of(path)

    back = serialized(dag)

    assert set(back.task_ids) == set(dag.task_ids)
    for task in dag.tasks:
        assert back.get_task(task.task_id).downstream_task_ids == task.downstream_task_ids
        assert set(back.get_task(task.task_id).template_fields) == set(task.template_fields)
