"""The built documentation as its readers use it: on a phone, in the dark, in Chinese, searching, switching."""

import re
import shutil
import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import expect

ROOT = Path(__file__).parent.parent.parent
PHONE = {"width": 375, "height": 812}
LANGUAGES = {"en": "en", "zh": "zh_CN"}


class Quiet(SimpleHTTPRequestHandler):
    """A server of files that logs nothing."""

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return the folder of the documentation, built as ``make docs`` does."""
    folder = tmp_path_factory.mktemp("site")
    for name, language in LANGUAGES.items():
        command = ["-q", "-D", f"language={language}", "-d", folder / f"{name}.doctrees", ROOT / "docs", folder / name]
        subprocess.run(
            [sys.executable, "-m", "sphinx", *command],
            check=True,
            capture_output=True,
            env={"PATH": "/usr/bin:/bin", "DOCS_LANGUAGE": language},
        )
    shutil.copy(ROOT / "docs/_root/index.html", folder)
    return folder


@pytest.fixture(scope="module")
def site(folder):
    """Return the address of the documentation."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def pages(folder, language):
    return sorted(str(page.relative_to(folder)) for page in (folder / language).rglob("*.html"))


@pytest.mark.parametrize(("locale", "language"), [("zh-CN", "zh"), ("zh-TW", "zh"), ("en-GB", "en"), ("de-DE", "en")])
def test_the_root_leads_to_the_browsers_language(site, open_page, locale, language):
    page = open_page(site, locale=locale)

    page.wait_for_url(f"{site}/{language}/index.html")


@pytest.mark.parametrize(
    ("language", "words", "found"),
    [
        ("zh", "重试", "重试"),
        ("zh", "超时", "可靠性"),
        ("zh", "恰好一次", "可靠性"),
        ("zh", "流水线", "术语表"),
        ("zh", "retry_mode", "可靠性"),
        ("en", "exactly once", "Reliability"),
        ("en", "exit codes", "Command line"),
    ],
)
def test_the_search_finds_pages(site, open_page, language, words, found):
    page = open_page(f"{site}/{language}/search.html?q={words}")

    results = page.locator("#search-results li a")
    expect(results.filter(has_text=found).first).to_be_visible()
    expect(page.get_by_text("no title")).to_have_count(0)


@pytest.mark.parametrize("name", ["reliability", "reference/rest", "decisions/index"])
def test_the_switch_keeps_the_page(site, open_page, name):
    page = open_page(f"{site}/en/{name}.html")

    page.get_by_role("link", name="中文").click()
    expect(page).to_have_url(f"{site}/zh/{name}.html")
    expect(page.locator("html")).to_have_attribute("lang", "zh-CN")

    page.get_by_role("link", name="English").click()
    expect(page).to_have_url(f"{site}/en/{name}.html")


def test_the_words_around_a_chinese_page_are_chinese(site, open_page):
    page = open_page(f"{site}/zh/reliability.html")

    for word in ("本页内容", "下一页", "上一页"):
        expect(page.get_by_text(word, exact=True)).to_be_visible()
    expect(page.locator("summary").first).to_have_text("对应的测试")

    spoken = page.evaluate(
        """() => [...document.querySelectorAll("[aria-label]")].map((each) => each.getAttribute("aria-label"))
            .concat([...document.querySelectorAll("svg title")].map((each) => each.textContent))"""
    )
    assert [words for words in spoken if not re.search("[\u4e00-\u9fff]", words)] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_page_is_wider_than_a_phone(site, folder, open_page, language):
    page = open_page(f"{site}/{language}/index.html", viewport=PHONE)

    wide = []
    for name in pages(folder, language):
        page.goto(f"{site}/{name}")
        if page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"):
            wide.append(name)

    assert not wide


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_table_fits_its_column_on_a_desk(site, folder, open_page, language):
    page = open_page(f"{site}/{language}/index.html", viewport={"width": 1342, "height": 900})

    wide = []
    for name in pages(folder, language):
        page.goto(f"{site}/{name}")
        if page.evaluate("[...document.querySelectorAll('.table-wrapper')].some((e) => e.scrollWidth > e.clientWidth)"):
            wide.append(name)

    assert not wide


@pytest.mark.parametrize(("scheme", "shown"), [("light", "only-light"), ("dark", "only-dark")])
def test_a_dark_page_shows_dark_pictures(site, open_page, scheme, shown):
    page = open_page(f"{site}/en/tab.html", color_scheme=scheme)

    visible = page.locator("article img[class*=only-]:visible").first

    assert visible.get_attribute("class") == shown
