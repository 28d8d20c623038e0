"""What is handed out: the wheel holds the package and no more, and Airflow takes it as a provider."""

import json
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from uv import find_uv_bin

ROOT = Path(__file__).parent.parent.parent
PACKAGE = "airflow_provider_flowengine"


def run(*command, cwd=ROOT):
    command = [str(part) for part in command]
    environment = os.environ | {"AIRFLOW_HOME": str(cwd / "airflow")}
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def uv_pip(home, command, *arguments):
    # --python, since else a virtual environment that is active would be meant
    run(find_uv_bin(), "pip", command, "--python", home / ".venv/bin/python", *arguments)


@pytest.fixture(scope="module")
def dist(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    run(find_uv_bin(), "build", "--quiet", "--out-dir", folder)
    return folder


@pytest.fixture(scope="module")
def wheel(dist):
    (wheel,) = dist.glob("*.whl")
    return wheel


@pytest.fixture(scope="module", params=["3.3.2", "2.11.2"])
def home(request, wheel, tmp_path_factory):
    """A folder with a virtual environment that holds the wheel and that Airflow, and nothing else."""
    folder = tmp_path_factory.mktemp(f"airflow-{request.param}")
    run(find_uv_bin(), "venv", "--quiet", "--python", ">=3.11,<3.13", folder / ".venv")
    uv_pip(folder, "install", "--quiet", wheel, f"apache-airflow=={request.param}")
    return folder


def test_the_wheel_holds_every_file_of_the_package_and_no_other(wheel):
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    files = {str(path.relative_to(ROOT)) for path in (ROOT / PACKAGE).rglob("*") if path.is_file()}

    assert names == {name for name in files if "__pycache__" not in name}
    assert f"{PACKAGE}/py.typed" in names


def test_the_wheel_carries_its_licence_and_its_entry_points(wheel):
    (info,) = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" in name}
    archive = zipfile.ZipFile(wheel)

    assert "Apache License" in archive.read(f"{info}/licenses/LICENSE").decode()
    assert "[apache_airflow_provider]" in archive.read(f"{info}/entry_points.txt").decode()


def test_the_source_archive_can_be_tested_by_whom_it_reaches(dist):
    (archive,) = dist.glob("*.tar.gz")
    with tarfile.open(archive) as files:
        names = {name.partition("/")[2] for name in files.getnames()}

    assert {"LICENSE", "README.md", "Makefile", "pyproject.toml", "requirements/dev.txt"} <= names
    assert "tests/test_layout.py" in names


def test_its_page_in_a_package_index_would_render(dist):
    run(sys.executable, "-m", "twine", "check", "--strict", *dist.glob("*.whl"), *dist.glob("*.tar.gz"))


def test_it_has_no_conflict_with_airflow(home):
    uv_pip(home, "check")


def test_airflow_lists_the_provider(home):
    providers = json.loads(run(".venv/bin/airflow", "providers", "list", "--output", "json", cwd=home))

    assert "airflow-provider-flowengine" in {provider["package_name"] for provider in providers}


@pytest.mark.parametrize("kind", ["operators", "sensors", "triggers", "hooks"])
def test_what_dags_use_can_be_imported(home, kind):
    run(".venv/bin/python", "-c", f"import {PACKAGE}.{kind}.flowengine", cwd=home)
