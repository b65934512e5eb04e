"""The Hugging Face Hub: who asks, what may be tried again, and what went wrong in one sentence."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from cry_model.hub import LOG_IN

if TYPE_CHECKING:
    from huggingface_hub import HfApi

PAUSES = (1.0, 3.0, 9.0)  # s, before the second, third and fourth attempt
LONGEST_PAUSE = 60.0  # s that the Hub may ask for; for longer, people come back themselves
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
    if insist("asking the Hub who you are", lambda: _role(api.whoami())) == "read":
        raise PublishError(f"This access token may only read; {TAKE_ANOTHER}.")
    return api


def _role(who: dict[str, Any]) -> str | None:
    """What the token may do, if the Hub says so; any answer of the Hub has a name."""
    return who["name"] and who.get("auth", {}).get("accessToken", {}).get("role")


def insist(what: str, action: Callable[[], Result]) -> Result:
    """``action()``, again after a pause while the connection drops, or the Hub fails or is busy.

    The only place where a request is repeated; each pause is announced.

    Raises:
        PublishError: if it failed for good, or the Hub asks for more than :data:`LONGEST_PAUSE`;
            ``what`` names it in the message.
    """
    from cry_model.hub import one_attempt, pause_asked

    pauses = iter(PAUSES)
    while True:
        try:
            with one_attempt():
                return action()
        except Exception as error:  # what does not come from the Hub can make the library raise any
            pause, asked = next(pauses, None), pause_asked(error)
            if pause is None or asked > LONGEST_PAUSE or not _may_pass(error):
                raise PublishError(_sentence(what, error)) from error
        pause, why = max(pause, asked), "wants a pause" if asked else "cannot be reached or fails"
        print(f"The Hub {why} while {what}; once more in {pause:.0f} s.", file=sys.stderr)
        time.sleep(pause)


def _may_pass(error: Exception) -> bool:
    """Whether the same request can succeed a moment later."""
    from huggingface_hub.errors import HTTPError, OfflineModeIsEnabled

    from cry_model.hub import UnreachableError, causes, may_pass, response_of

    response, chain = response_of(error), tuple(causes(error))
    if response is not None:
        return may_pass(response)
    if any(isinstance(e, UnreachableError) for e in chain):
        return True
    if any(isinstance(e, OfflineModeIsEnabled) for e in chain):
        return False
    return any(isinstance(e, HTTPError | ConnectionError | TimeoutError) for e in chain)


def _sentence(what: str, error: Exception) -> str:
    """What went wrong and what to do, in place of the library's paragraphs."""
    from huggingface_hub.errors import OfflineModeIsEnabled

    from cry_model.hub import is_foreign, pause_asked, response_of, when

    response, pause = response_of(error), pause_asked(error)
    status = None if response is None else response.status_code
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
    if pause > LONGEST_PAUSE:
        return f"The Hub wants a pause while {what}; run the command again {when(pause)}."
    if _may_pass(error):
        problem = "could not be reached" if status is None else f"answered {status}"
        return (
            f"The Hub {problem} while {what}, {len(PAUSES) + 1} times in a row; run the command "
            "again later, it sends only what is missing."
        )
    if isinstance(error, OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE is set, so nothing can be published; unset it."
    why = " ".join(f"{error}"[:500].split())
    if is_foreign(error):
        return (
            f"What answered while {what} does not speak as the Hub does ({why}); a login page of "
            "the network may be in the way. Run the command again later."
        )
    return f"The Hub did not accept it while {what}: {why}"
