"""A real browser, which must find nothing to complain of, and what it looks at: the emulator, and a real Airflow."""

import json
import os
import re
import shutil
import sys
from pathlib import Path

import pytest
from playwright.sync_api import expect, sync_playwright

ROOT = Path(__file__).parent.parent.parent
sys.path.append(str(ROOT))  # for tests.system, whose Airflow of real processes this suite uses too

from tests.system.processes import end_all, until  # noqa: E402, F401
from tests.system.stack import BIN, Stack  # noqa: E402

SCREENSHOTS = ROOT / "docs" / "_static" / "screenshots"
SIZE = {"width": 1400, "height": 900}
QUIET = "--disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync"
NOON = 1593489600.0  # 2020-06-30 12:00:00 +08:00

expect.set_options(timeout=10_000)


@pytest.fixture(scope="session")
def browser():
    path = shutil.which("chromium")
    assert path, "There is no Chromium: run tests/browser/setup.sh"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-gpu", *QUIET.split()]
        )
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser):
    """Open a page in a browser of its own; at the end, nothing may have gone wrong in it, or come from elsewhere.

    Arguments are those of a browser context: ``locale``, ``color_scheme``, ``viewport``, …; ``forgives`` is a
    pattern of what the browser may complain of.
    """
    contexts, complaints = [], []

    def open_page(url, forgives=None, **context):
        context = {"viewport": SIZE, "locale": "en-US", "timezone_id": "Asia/Shanghai", **context}
        contexts.append(browser.new_context(**context))
        page = contexts[-1].new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "console",
            lambda said: (
                complaints.append(said.text)
                if said.type in ("error", "warning") and not (forgives and re.search(forgives, said.text))
                else None
            ),
        )
        page.on("request", lambda sent: None if "//127.0.0.1:" in sent.url else complaints.append(sent.url))
        page.goto(url)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not complaints


@pytest.fixture
def flowengine(flowengine_emulator):
    """An emulator whose clock stands still until it is advanced, and whose nodes take a while."""
    flowengine_emulator.clock.reset(NOON)
    flowengine_emulator.options.timezone = "Asia/Shanghai"
    flowengine_emulator.options.node_seconds = 10
    flowengine_emulator.options.stop_seconds = 2
    return flowengine_emulator


@pytest.fixture
def open_flowengine(open_page, flowengine):
    """Open the emulator's page at a path such as ``/1/2``."""

    def open_flowengine(path="", **context):
        return open_page(f"{flowengine.url}{flowengine.options.engine_url}/#/offline-pipeline{path}", **context)

    return open_flowengine


@pytest.fixture(scope="session")
def airflow(tmp_path_factory):
    """A real Airflow with the example DAGs and those of this suite, whose page lets connections be tested."""
    folder = tmp_path_factory.mktemp("airflow")
    dags = tmp_path_factory.mktemp("dags")
    for name, source in {"examples": ROOT / "example_dags", "browser": Path(__file__).parent / "dags"}.items():
        (dags / name).symlink_to(source)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "PYTEST"))}
    kept |= {"HOME": str(folder), "PATH": os.pathsep.join((str(BIN), kept.get("PATH", "")))}
    kept |= {"no_proxy": "127.0.0.1", "NO_PROXY": "127.0.0.1"}
    settings = {"CORE__DAGS_FOLDER": str(dags), "CORE__TEST_CONNECTION": "Enabled"}
    settings |= {"FLOWENGINE__NODE_REQUEST_INTERVAL": "2"}
    stack = Stack("local", folder, kept, settings)
    try:
        stack.start()
        stack.until_ready()
        yield stack
    finally:
        end_all(folder)


@pytest.fixture
def connected(airflow, flowengine_emulator):
    """Let the connection ``flowengine_default`` of that Airflow lead to the emulator."""
    connection = json.loads(flowengine_emulator.connection())
    connection |= {"connection_id": "flowengine_default", "extra": json.dumps(connection["extra"])}
    airflow.api.call("POST", "/connections", json=connection)
    yield
    airflow.api.call("DELETE", "/connections/flowengine_default")


def keep_screenshot(page, name, *, dark=False):
    """Keep what the page (or a part of it) shows, for the documentation, where SCREENSHOTS=1 asks for it.

    With ``dark`` it is kept twice: as it is, and in the dark.
    """
    if os.environ.get("SCREENSHOTS") != "1":
        return
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png", animations="disabled")
    if dark:
        page.emulate_media(color_scheme="dark")
        keep_screenshot(page, f"{name}-dark")
        page.emulate_media(color_scheme="light")
