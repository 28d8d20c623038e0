"""
Signing in with an account, where the connection says ``authentication: session``.

``POST {fl_url}/keystone/v1/sessions`` with ``{"username", "password"}`` answers with the cookie ``User-Token``, which
each further request carries (source: clients in the wild; the vendor's release files let that path through). Written
once for both transports, as a generator; it does no I/O.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, cast

from airflow_provider_flowengine.protocol.envelope import is_web_page, json_object, parse_envelope, text_of
from airflow_provider_flowengine.protocol.errors import (
    AccessDeniedError,
    FlowEngineError,
    RequestRejectedError,
    ServiceUnavailableError,
)
from airflow_provider_flowengine.protocol.flow import SignIn, supervise
from airflow_provider_flowengine.protocol.http import REDIRECT_STATUSES, Request, Response

if TYPE_CHECKING:
    from airflow_provider_flowengine.protocol.flow import Flow, T
    from airflow_provider_flowengine.protocol.http import JsonObject
    from airflow_provider_flowengine.protocol.settings import Settings

SIGN_IN_PATH = "/keystone/v1/sessions"
COOKIE = "User-Token"

REFUSAL_TTL = 60.0
"""Seconds for which a refused sign-in is not tried again: too many of them lock an account."""

_LOGIN_ADDRESS = re.compile(r"log-?in|sign-?in|sso|oauth|/cas/|passport|keystone", re.IGNORECASE)
_SESSION_OVER = re.compile(
    "未登录|登录.{0,6}(?:过期|失效)|重新登录|not logged in|log ?in again|please (?:log|sign) ?in|unauthori[sz]ed"
    "|(?:session|token).{0,12}(?:expired|invalid|over)",
    re.IGNORECASE,
)


@dataclass
class Session:
    """
    A client's session with FlowEngine.

    :param settings: the connection, with its account; without one, nothing is signed in.
    :param token: what shows that the client is signed in; empty until it is.
    """

    settings: Settings
    token: str = field(default="", repr=False)
    _refusal: AccessDeniedError | None = None
    _refused_until: float = 0.0

    def run(self, flow: Flow[T]) -> Flow[T]:
        """Return a flow whose requests are sent in the session; the flow itself if the connection needs none."""
        return supervise(flow, send=self._send) if any(self.settings.account) else flow

    def _send(self, request: Request) -> Flow[Response]:
        """
        Send a request in the session; if the session is over, sign in and send it once more.

        A request that is not idempotent is sent once more only if it was surely not processed.
        """
        if not self.token:
            yield SignIn(self._sign_in(""))
        token = self.token
        response = cast("Response", (yield self._signed(request)))
        if not _is_over(response):
            return response
        if not (request.idempotent or _is_refusal(response)):
            self.token = "" if self.token == token else self.token  # the next request signs in
            return response
        yield SignIn(self._sign_in(token))
        return cast("Response", (yield self._signed(request)))

    def _sign_in(self, stale: str) -> Flow[None]:
        """
        Sign in, unless another request of this client has done so meanwhile.

        :param stale: the token that is no longer valid.
        :raises AccessDeniedError: if the account is refused; it is not tried again for a minute.
        :raises ServiceUnavailableError: if there was no answer; the request that needs the session was not sent.
        """
        if self.token != stale:
            return
        if self._refusal and time.monotonic() < self._refused_until:
            raise self._refusal
        self.token, self._refusal = "", None
        username, password = self.settings.account
        account: JsonObject = {"username": username, "password": password}
        request = self.settings.prepare(
            Request(f"sign in as {username!r}", "POST", SIGN_IN_PATH, body=account, has_envelope=False)
        )
        try:
            response = cast("Response", (yield request))
            self.token = self._parse_token(request, response)
        except ServiceUnavailableError as error:
            error.may_have_been_processed = False  # the request that the session is for
            raise
        except AccessDeniedError as error:
            self._refusal, self._refused_until = error, time.monotonic() + REFUSAL_TTL
            raise
        self.settings.redact.learn(self.token.strip('"'))

    def _parse_token(self, request: Request, response: Response) -> str:
        match = re.search(rf"(?:^|[,;\s]){COOKIE}=({_COOKIE_VALUE})", response.headers.get("set-cookie", ""))
        if match and response.status < 400:
            return match[1]
        try:
            parse_envelope(request, response)
            reason = f"the answer set no cookie {COOKIE} (HTTP {response.status})"
        except ServiceUnavailableError:
            raise
        except FlowEngineError as error:
            reason = error.msg if isinstance(error, RequestRejectedError) and error.msg else str(error)
        raise AccessDeniedError(
            f"Could not {request.name}: {reason}. Check the connection's User id (login) and Access key (password), "
            f"which are an account's name and password with authentication: session. (POST {SIGN_IN_PATH})",
            request=request,
            msg=reason,
            http_status=response.status,
        )

    def _signed(self, request: Request) -> Request:
        cookies = [value for name, value in request.headers.items() if name.lower() == "cookie"]
        headers = {name: value for name, value in request.headers.items() if name.lower() != "cookie"}
        return replace(request, headers={**headers, "Cookie": "; ".join([*cookies, f"{COOKIE}={self.token}"])})


def _is_over(response: Response) -> bool:
    """Whether an answer says that the session is over: 401, the envelope's word for it, or a login page."""
    if response.status in REDIRECT_STATUSES:
        return bool(_LOGIN_ADDRESS.search(response.headers.get("location", "")))
    return _is_refusal(response) or (response.status < 300 and is_web_page(response))


def _is_refusal(response: Response) -> bool:
    """Whether an answer refuses a request for want of a session, so that it was surely not processed."""
    if response.status == 401:
        return True
    content = json_object(response) or {} if len(response.body) < _MAX_REFUSAL else {}
    status = text_of(content.get("status")).strip()
    return status == "401" or (status not in ("", "0") and bool(_SESSION_OVER.search(text_of(content.get("msg")))))


_COOKIE_VALUE = r'"[^"]+"|[^;,\s"]+'
"""A cookie's value; one in quotes is sent back in its quotes, as browsers do (RFC 6265)."""

_MAX_REFUSAL = 16 * 1024
"""Bytes of a refusal at most: larger answers are not parsed for one."""
