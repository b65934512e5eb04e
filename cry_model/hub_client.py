"""One attempt at each request to the Hugging Face Hub, and what its failures say.

The library repeats some requests by itself, in silence, and waits as long as a server asks for.
Here whoever calls decides about a second attempt. Imported late: the library takes its time.
"""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from json import JSONDecodeError
from typing import Any

from huggingface_hub.errors import HTTPError, OfflineModeIsEnabled
from huggingface_hub.utils import get_session, hf_raise_for_status, parse_ratelimit_headers

TIMEOUT = 60.0  # s without a byte; the library itself would wait for ever
AGAIN = 6  # times that one address is asked: a download goes on where it broke off
LATER = (408, 425, 429)  # statuses, besides 500 and above, after which the same may succeed
BUSY = "another conflicting operation is in progress"
YEAR = 365 * 86400.0  # s
_ALONE = threading.RLock()


class UnreachableError(OfflineModeIsEnabled):
    """No answer came. As in its offline mode, the library then takes what was fetched before."""


@contextlib.contextmanager
def one_attempt() -> Iterator[None]:
    """Let each request fail at once while this lasts, instead of repeating it in silence.

    A request without an answer raises :class:`UnreachableError`; one that may succeed later raises
    the library's error for its status.
    """
    with _ALONE:
        client, asked = get_session(), Counter[str]()
        send, timeout = client.send, client.timeout

        def send_once(request: Any, **how: Any) -> Any:
            asked[f"{request.method} {request.url}"] += 1
            if max(asked.values()) > AGAIN:
                raise UnreachableError(f"the connection broke {AGAIN} times")
            try:
                response = send(request, **how)
                if response.status_code >= 400:
                    response.read()
            except HTTPError as error:
                raise UnreachableError(f"{error or type(error).__name__}") from error
            if may_pass(response):
                hf_raise_for_status(response)
            return response

        client.send, client.timeout = send_once, TIMEOUT
        try:
            yield
        finally:
            del client.send
            client.timeout = timeout


def may_pass(response: Any) -> bool:
    """Whether the same request can succeed a moment later."""
    status = response.status_code
    return status in LATER or status >= 500 or (status == 409 and BUSY in response.text)


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and what led to it: the library wraps what happens in its threads."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def response_of(error: Exception) -> Any | None:
    """Return the response behind an error; None if there was none."""
    found = (getattr(e, "response", None) for e in causes(error))
    return next((response for response in found if response is not None), None)


def is_foreign(error: Exception) -> bool:
    """Return whether what answered does not speak as the Hub does: a login page, a broken proxy."""
    kinds = (AttributeError, JSONDecodeError, LookupError, TypeError, UnicodeDecodeError)
    return any(isinstance(e, kinds) for e in causes(error))


def pause_asked(error: Exception) -> float:
    """Return for how many seconds the Hub wants to be left alone; 0 if it does not say."""
    response = response_of(error)
    if response is None:
        return 0.0
    limit, value = parse_ratelimit_headers(response.headers), response.headers.get("Retry-After")
    if value is None:
        return 0.0 if limit is None or limit.remaining else min(limit.reset_in_seconds, YEAR)
    if value.strip().isdecimal():
        return min(float(value), YEAR)
    try:
        date = parsedate_to_datetime(value)
    except (TypeError, ValueError):
        return 0.0
    date = date if date.tzinfo else date.replace(tzinfo=timezone.utc)
    return min(max(0.0, (date - datetime.now(timezone.utc)).total_seconds()), YEAR)


def when(seconds: float) -> str:
    """Return in words when so many seconds are over, by this machine's clock."""
    if seconds <= 120:
        return f"in {seconds:.0f} s"
    return f"after {datetime.now() + timedelta(seconds=seconds):%Y-%m-%d %H:%M}"
