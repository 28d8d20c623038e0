"""The house's rules: who may import whom, and what a DAG file that imports the operators loads."""

import ast
import re
import subprocess
import sys
import tomllib
from graphlib import TopologicalSorter
from importlib import import_module
from pathlib import Path

import pytest

PACKAGE = "airflow_provider_flowengine"
ROOT = Path(__file__).parent.parent
SOURCES = sorted((ROOT / PACKAGE).rglob("*.py"))

# Part of the package -> the parts that it may import, beside itself.
MAY_IMPORT = {
    "": set(),
    "get_provider_info": {"", "connection_form"},
    "connection_form": set(),
    "protocol": {""},
    "client": {"", "protocol"},
    "hooks": {"", "protocol", "client", "connection_form", "definitions"},
    "links": {"compat"},
    "assets": set(),
    "compat": {"protocol"},
    "definitions": {"protocol"},
    "definition_files": {"protocol", "definitions"},
    "params": {"definition_files", "definitions"},
    "cli": {"", "protocol", "client", "hooks", "connection_form", "definitions", "definition_files"},
    "local_time": {"protocol"},
    "retry": {"protocol"},
    "lineage": {"protocol"},
    "triggers": {"protocol", "client", "hooks", "connection_form", "compat", "links", "local_time"},
    "operators": {
        "protocol",
        "client",
        "hooks",
        "connection_form",
        "triggers",
        "links",
        "assets",
        "compat",
        "lineage",
        "retry",
        "definitions",
        "definition_files",
        "local_time",
    },
    "sensors": {
        "protocol",
        "client",
        "hooks",
        "connection_form",
        "triggers",
        "links",
        "assets",
        "compat",
        "operators",
        "retry",
        "local_time",
    },
    "plugins": {"compat", "protocol"},
    "emulator": {""},
}

# Part of the package -> libraries that it must do without.
MUST_DO_WITHOUT = {
    "": {"airflow", "requests", "aiohttp"},
    "get_provider_info": {"airflow", "requests", "aiohttp"},
    "connection_form": {"airflow", "requests", "aiohttp"},
    "protocol": {"airflow", "requests", "aiohttp"},
    "client": {"airflow"},
    "definitions": {"airflow", "requests", "aiohttp"},
    "definition_files": {"airflow", "requests", "aiohttp"},
    "emulator": {"airflow", "requests", "aiohttp"},
}

# What a package on an index is called, where its module is called otherwise.
DISTRIBUTIONS = {
    "airflow": "apache-airflow",
    "attr": "attrs",
    "openlineage": "apache-airflow-providers-openlineage",
    "yaml": "pyyaml",
}

# Imported only by what is made of it, or only to check types: whoever loads the module has it.
BROUGHT_BY_ITS_USER = {
    "connection_form": {"flask_appbuilder", "wtforms"},  # the web server of Airflow 2.11
    "plugins": {"starlette"},  # the web server of Airflow 3
    "emulator": {"pytest"},  # pytest itself, whose plugin this is
    "protocol": {"_typeshed"},  # type checkers
}

# What people's DAGs import: a name here is kept, or deprecated first.
PUBLIC = {
    "hooks.flowengine": {"FlowEngineHook"},
    "operators.flowengine": {
        "FlowEngineCreatePipelineOperator",
        "FlowEngineResumePipelineRunOperator",
        "FlowEngineSetPipelineScheduleOperator",
        "FlowEngineStartPipelineOperator",
        "FlowEngineStopPipelineRunOperator",
        "FlowEngineUpdatePipelineOperator",
        "FlowEngineUploadFileOperator",
    },
    "sensors.flowengine": {"FlowEnginePipelineRunSensor"},
    "triggers.flowengine": {"FlowEnginePipelineRunEventTrigger", "FlowEnginePipelineRunTrigger"},
}


def part(module):
    """Return which part of the package a module belongs to; "" is the package's own __init__."""
    names = module.removesuffix(".__init__").split(".")
    return names[1] if len(names) > 1 else ""


def module_of(path):
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def imports(path):
    """Yield every module that a source file imports, anywhere in it."""
    module = module_of(path)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(module.split(".")[: -node.level]) if node.level else ""
            origin = ".".join(filter(None, (base, node.module)))
            # `from package import name`: a module of it, or something that is defined in the package itself
            yield from (f"{origin}.{alias.name}" if _is_module(origin, alias.name) else origin for alias in node.names)


def _is_module(package, name):
    folder = ROOT.joinpath(*package.split("."))
    return (folder / name).is_dir() or (folder / f"{name}.py").is_file()


@pytest.mark.parametrize("path", SOURCES, ids=module_of)
def test_imports_point_one_way(path):
    own = part(module_of(path))
    used = {part(module) for module in imports(path) if module.split(".")[0] == PACKAGE}

    assert used - {own} <= MAY_IMPORT[own]


@pytest.mark.parametrize("path", SOURCES, ids=module_of)
def test_each_part_does_without_the_libraries_of_others(path):
    used = {module.split(".")[0] for module in imports(path)}

    assert not used & MUST_DO_WITHOUT.get(part(module_of(path)), set())


def declared(part):
    """Return the packages that pyproject.toml promises to a part, an extra's if the part belongs to one."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extra = {"emulator": "emulator", "lineage": "openlineage"}.get(part)
    lines = project["dependencies"] + (project["optional-dependencies"][extra] if extra else [])
    return {re.match(r"[\w-]+", line)[0] for line in lines}


@pytest.mark.parametrize("path", SOURCES, ids=module_of)
def test_what_a_module_imports_is_declared_and_not_left_to_airflow(path):
    own = part(module_of(path))
    used = {module.split(".")[0] for module in imports(path)} - {PACKAGE} - BROUGHT_BY_ITS_USER.get(own, set())
    libraries = {DISTRIBUTIONS.get(name, name) for name in used if name not in sys.stdlib_module_names}

    assert libraries <= declared(own)


def test_no_modules_import_each_other_in_a_circle():
    modules = {module_of(path).removesuffix(".__init__"): path for path in SOURCES}
    imported = {module: set(imports(path)) & (modules.keys() - {module}) for module, path in modules.items()}

    list(TopologicalSorter(imported).static_order())  # raises CycleError, which names the circle


@pytest.mark.parametrize("path", SOURCES, ids=module_of)
def test_a_module_has_at_most_400_lines(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400


@pytest.mark.parametrize("path", SOURCES, ids=module_of)
def test_no_function_is_above_a_complexity_of_10_with_boolean_operators_counted(path):
    complexity = pytest.importorskip("radon.complexity")
    blocks = complexity.cc_visit(path.read_text(encoding="utf-8"))
    functions = [*blocks, *(method for block in blocks for method in getattr(block, "methods", ()))]

    assert {each.name: each.complexity for each in functions if each.letter != "C" and each.complexity > 10} == {}


def test_there_are_no_drawers_for_odds_and_ends():
    assert not [path for path in SOURCES if path.stem in {"utils", "helpers", "common", "misc"}]


@pytest.mark.parametrize("module", ["operators.flowengine", "sensors.flowengine"])
def test_a_dag_file_that_imports_operators_loads_no_client_and_nothing_that_reads_answers(module):
    code = f"""
import sys
from airflow.providers.common.compat.sdk import BaseOperator, BaseSensorOperator, conf
before = set(sys.modules)  # Airflow 2.11 loads requests by itself
import {PACKAGE}.{module}
print(*set(sys.modules) - before)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(run.stdout.split())

    assert f"{PACKAGE}.{module}" in loaded
    assert not loaded & {
        "requests",
        "aiohttp",
        *(f"{PACKAGE}.{name}" for name in ("client", "hooks", "protocol.models")),
    }


@pytest.mark.parametrize("name", PUBLIC)
def test_the_names_that_dags_depend_on_are_there_and_no_others(name):
    module = import_module(f"{PACKAGE}.{name}")
    own = f"{PACKAGE}.{name.partition('.')[0]}."

    assert {
        name
        for name, value in vars(module).items()
        if name.startswith("FlowEngine") and value.__module__.startswith(own)
    } == PUBLIC[name]
