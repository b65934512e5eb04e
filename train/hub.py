"""The Hugging Face Hub: who asks, what may be tried again, and what went wrong in one sentence."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeVar

from cry_model.hub import LOG_IN

if TYPE_CHECKING:
    from huggingface_hub import HfApi

PAUSES = (1.0, 3.0, 9.0)  # s, before the second, third and fourth attempt
TIMEOUT = 60.0  # s without a byte; the library itself would wait for ever
TAKE_ANOTHER = "take one with write access from huggingface.co/settings/tokens"

Result = TypeVar("Result")


class PublishError(RuntimeError):
    """Nothing, or not all, was published; the message says why and what to do."""


def check_repo_id(repo_id: str) -> None:
    """Refuses what the Hub would not take as a name.

    Raises:
        PublishError: if ``repo_id`` is not of the form "user/name".
    """
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(repo_id)
        valid = repo_id.count("/") == 1
    except HFValidationError:
        valid = False
    if not valid:
        raise PublishError(
            f"'{repo_id}' is no name for a repository; write user/name, with letters, digits, "
            "'-', '_' and '.' in each part."
        )


def log_in() -> HfApi:
    """The Hub, once it has accepted the access token.

    Raises:
        PublishError: without a token, with one that is refused or may only read, or if the Hub
            cannot be reached.
    """
    from huggingface_hub import HfApi, get_token

    token = get_token()
    if token is None:
        raise PublishError(f"There is no access token for the Hub; {LOG_IN}.")
    api = HfApi(token=token)
    who = insist("asking the Hub who you are", api.whoami)
    if who.get("auth", {}).get("accessToken", {}).get("role") == "read":
        raise PublishError(f"This access token may only read; {TAKE_ANOTHER}.")
    return api


def insist(what: str, action: Callable[[], Result]) -> Result:
    """``action()``, again after a pause while the connection drops or the Hub fails.

    Raises:
        PublishError: if it failed for good; ``what`` names it in the message.
    """
    from huggingface_hub.errors import HTTPError
    from huggingface_hub.utils import get_session

    pauses = iter(PAUSES)
    while True:
        get_session().timeout = TIMEOUT
        try:
            return action()
        except (HTTPError, OSError, RuntimeError, ValueError) as error:
            pause = next(pauses, None)
            if pause is None or not _may_pass(error):
                raise PublishError(_sentence(what, error)) from error
        print(f"The connection failed while {what}; once more in {pause:g} s.", file=sys.stderr)
        time.sleep(pause)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what led to it: the library wraps what happens in its upload threads."""
    while error is not None:
        yield error
        error = error.__cause__


def _status(error: Exception) -> int | None:
    """The HTTP status behind an error, if the Hub answered at all."""
    from huggingface_hub.errors import HfHubHTTPError

    found = (e.response.status_code for e in _causes(error) if isinstance(e, HfHubHTTPError))
    return next(found, None)


def _may_pass(error: Exception) -> bool:
    """Whether the same request can succeed a moment later."""
    from huggingface_hub.errors import HTTPError, OfflineModeIsEnabled

    status = _status(error)
    if status is not None:
        return status >= 500
    causes = tuple(_causes(error))
    if any(isinstance(e, OfflineModeIsEnabled) for e in causes):
        return False
    return any(isinstance(e, HTTPError | ConnectionError | TimeoutError) for e in causes)


def _sentence(what: str, error: Exception) -> str:
    """What went wrong and what to do, in place of the library's paragraphs."""
    from huggingface_hub.errors import OfflineModeIsEnabled

    status = _status(error)
    if isinstance(error, OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE is set, so nothing can be published; unset it."
    if status == 401:
        return f"The Hub refused the access token while {what}; {LOG_IN} anew."
    if status == 402:
        return f"The Hub wants a paid plan for {what}; see huggingface.co/pricing."
    if status == 403:
        return (
            f"This access token has no permission for {what}; {TAKE_ANOTHER}, or choose another "
            "repository."
        )
    if status == 404:
        return f"The Hub found nothing there while {what}; check the names that you gave."
    if _may_pass(error):
        problem = "could not be reached" if status is None else f"answered {status}"
        return (
            f"The Hub {problem} while {what}, {len(PAUSES) + 1} times in a row; run the command "
            "again later, it sends only what is missing."
        )
    return f"The Hub did not accept it while {what}: {' '.join(str(error).split())}"
