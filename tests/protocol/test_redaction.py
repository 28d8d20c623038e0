"""No secret is seen in any form that a server, a proxy or Python can echo it in, whole or cut off."""

from __future__ import annotations

import base64
import html
import json
import time
from functools import reduce
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_flowengine.protocol.http import Request
from airflow_provider_flowengine.protocol.redaction import MASKED, MAX_TEXT, Redactor
from airflow_provider_flowengine.protocol.reply import Reply
from airflow_provider_flowengine.protocol.settings import Settings

SECRET = 'acc"ess-ké/7&f+3 \\a中'

PLAIN_FORMS = {
    "as it is": str,
    "JSON": lambda text: json.dumps(text)[1:-1],
    "JSON in upper case": lambda text: "".join(f"\\u{ord(c):04X}" if ord(c) > 0x7F else c for c in text),
    "JSON that keeps Unicode": lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    "JSON that escapes slashes": lambda text: json.dumps(text)[1:-1].replace("/", "\\/"),
    "JSON in JSON": lambda text: json.dumps(json.dumps(text)),
    "JSON in JSON, four deep": lambda text: reduce(lambda text, _: json.dumps(text)[1:-1], range(4), text),
    "HTML": html.escape,
    "HTML, decimal": lambda text: "".join(f"&#{ord(c)};" for c in text),
    "HTML, hexadecimal": lambda text: "".join(f"&#x{ord(c):X};" for c in text),
    "HTML of JSON": lambda text: html.escape(json.dumps(text)),
    "HTML without semicolons": lambda text: "".join(f"&#{ord(c)}" for c in text),
    "JSON in a URL": lambda text: quote(json.dumps(text)[1:-1], safe=""),
    "Unicode escapes": lambda text: "".join(f"\\u{ord(c):04x}" for c in text),
    "octal": lambda text: "".join(f"\\{octet:03o}" for octet in text.encode()),
    "SQL, CSV or YAML": lambda text: text.replace("'", "''").replace('"', '""'),
    "a shell, escaped": lambda text: text.replace("'", "'\\''"),
    "a shell, quoted": lambda text: text.replace("'", "'\"'\"'"),
    "a URL": lambda text: quote(text, safe=""),
    "a URL, in lower case": lambda text: quote(text, safe="").replace("%2B", "%2b").replace("%C3%A9", "%c3%a9"),
    "a URL's query": quote_plus,
    "a URL in a URL": lambda text: quote(quote(text, safe=""), safe=""),
    "Python's repr": repr,
    "Python's repr of bytes": lambda text: repr(text.encode()),
    "Python's ascii": ascii,
    "decoded as Latin-1": lambda text: text.encode().decode("latin-1"),
}
ENCODED_FORMS = {
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64 without padding": lambda text: base64.b64encode(text.encode()).decode().rstrip("="),
    "base64 for URLs": lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
    "base64 in a URL": lambda text: quote(base64.b64encode(text.encode()).decode(), safe=""),
    "base64 in JSON": lambda text: base64.b64encode(text.encode()).decode().replace("/", "\\/"),
    "Basic authentication": lambda text: base64.b64encode(f"user:{text}".encode()).decode(),
    "base64, one byte further": lambda text: base64.b64encode(f"a:{text}:b".encode()).decode(),
    "base64, two bytes further": lambda text: base64.b64encode(f"x{text}".encode()).decode(),
    "base64 in lines": lambda text: (
        base64.b64encode(text.encode()).decode()[:7] + "\r\n" + base64.b64encode(text.encode()).decode()[7:]
    ),
    "hexadecimal": lambda text: text.encode().hex(),
    "hexadecimal, with colons": lambda text: text.encode().hex(":"),
}
FORMS = PLAIN_FORMS | ENCODED_FORMS


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
def test_a_secret_is_hidden_in_each_form(form):
    shown = Redactor([SECRET])(f"bad key {form(SECRET)}, sorry")

    assert shown.replace("\\\\", "").strip("'") in {
        f"bad key {MASKED}, sorry",
        *(f"bad key {quotes % MASKED}, sorry" for quotes in ("'%s'", '"%s"', "b'%s'", '"\\"%s\\""', "&quot;%s&quot;")),
    }


@settings(max_examples=200, deadline=None)
@given(
    st.text(st.characters(exclude_categories=["Cs", "Cc", "Z"]), min_size=6, max_size=24),
    st.sampled_from(sorted(FORMS)),
)
def test_any_secret_is_hidden_in_any_form(secret, name):
    form = FORMS[name](secret)

    shown = Redactor([secret])(f"before, {form} after")

    assert shown.startswith("before, ")
    assert shown.endswith(" after")
    assert MASKED in shown
    assert form.strip("'\"\\") not in shown or len(form) < 6


@pytest.mark.parametrize("form", PLAIN_FORMS.values(), ids=PLAIN_FORMS.keys())
def test_the_beginning_of_a_secret_is_hidden_at_a_texts_end(form):
    secret = "access-key-7é9/f3a91"
    whole = f"bad key {form(secret)}"
    at_most = len(f"bad key {form(secret[:4])}")

    for end in range(len(whole)):
        shown = Redactor([secret])(whole[:end])
        assert MASKED in shown or end <= at_most, shown


def test_the_longest_secret_is_hidden_first():
    assert Redactor(["abc", "abcdef"])("abcdef abc ab") == f"{MASKED} {MASKED} ab"


def test_what_is_too_short_to_be_a_secret_is_left():
    assert Redactor(["1", "ab", ""])("1 ab of pipeline 1") == "1 ab of pipeline 1"


def test_base64_of_something_else_is_left():
    text = base64.b64encode(b"nothing secret is in here").decode()

    assert Redactor([SECRET])(text) == text


def test_a_secret_that_is_learned_is_hidden_from_then_on():
    redact = Redactor(["first-key"])
    redact.learn("User-Token-1", "x")

    assert redact("first-key User-Token-1 x") == f"{MASKED} {MASKED} x"


def test_of_the_secrets_that_are_learned_the_newest_are_kept():
    redact = Redactor(["first-key"])
    for number in range(100):
        redact.learn(f"token-{number:03}")

    assert redact("first-key token-099 token-000.") == f"{MASKED} {MASKED} token-000."


@pytest.mark.parametrize("secrets", [[], [SECRET]])
def test_a_text_is_cut_after_4000_characters(secrets):
    redact = Redactor(secrets)

    assert len(redact("x" * MAX_TEXT)) == MAX_TEXT
    assert redact("x" * 10_000_000) == "x" * (MAX_TEXT - 1) + "…"


def test_a_secret_at_the_cut_is_hidden():
    secret = "access-key-7f3a91"

    for place in range(MAX_TEXT - 40, MAX_TEXT + 5):
        assert "access" not in Redactor([secret])("x" * place + secret + "y" * 100)


@pytest.mark.parametrize(
    "text",
    [
        "A" * 10**6,
        "\\" * 10**6,
        "%25" * 10**6,
        "access-key-" * 10**5,
        "&amp;" * 10**5,
        "\\u005c" * 10**5,
        "%5C" * 10**5,
    ],
)
@pytest.mark.parametrize("secret", ["access-key-7f3a91", "A" * 2000, "\\\\\\\\%%%%&&&&"])
def test_no_text_takes_long(text, secret):
    redact = Redactor([secret])
    redact("")
    began = time.process_time()

    redact(text)

    assert time.process_time() - began < 3


def test_what_a_run_says_of_itself_is_hidden_and_cut_too():
    connection = Settings.build(fl_url="http://gw", access_key="access-key-7f3a91")
    row = {
        "id": 7,
        "status": "bad access-key-7f3a91",
        "triggerType": "access-key-7f3a91",
        "message": "x" * 10_000,
        "nodes": [{"nodeId": "n1", "status": "access-key-7f3a91", "message": "no access-key-7f3a91"}],
    }

    run = Reply(Request("read run 7", "GET", "/"), connection).run(row, 19)

    assert (run.status, run.trigger, len(run.message)) == (f"bad {MASKED}", MASKED, MAX_TEXT)
    assert [(node.status, node.message) for node in run.nodes] == [(MASKED, f"no {MASKED}")]


@pytest.mark.parametrize(
    ("text", "shown"), [("a header in GBK: \udcb5\udcc7", "a header in GBK: \ufffd\ufffd"), ("a\0b", "a\ufffdb")]
)
def test_a_text_that_is_shown_holds_neither_nul_nor_half_of_a_surrogate_pair(text, shown):
    assert Redactor()(text) == shown
