"""Find checkpoints by name: a folder, or a Hugging Face Hub repository, downloaded and cached."""

from __future__ import annotations

import contextlib
import os
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from json import JSONDecodeError
from pathlib import Path
from typing import Any

from huggingface_hub import errors, hf_hub_download
from huggingface_hub.utils import get_session, hf_raise_for_status, parse_ratelimit_headers

from cry_model.checkpoint import BUNDLED, CONFIG, INSTALLED, WEIGHTS, CheckpointError, local_folder

LOG_IN = "log in with `hf auth login` or set HF_TOKEN"


def find_checkpoint(
    name: str | os.PathLike, revision: str | None = None, files: Sequence[str] = (WEIGHTS,)
) -> Path:
    """Return a local folder unchanged, or a Hub repository's files, downloaded and cached.

    Raise CheckpointError if neither exists, or if the Hub is unreachable and the files are not
    cached. ``name``: a short name of :data:`~cry_model.checkpoint.BUNDLED`, a folder, or a
    repository id; only names like "user/model" are looked up on the Hub; ``revision``: branch, tag
    or commit of the repository; ``files``: what to download beside the config.
    """
    if (found := local_folder(name, revision)) is not None:
        return found
    if "/" not in str(name):
        known = ", ".join(INSTALLED)
        if str(name) in BUNDLED:
            raise CheckpointError(
                f"'{name}' is not in the installed package, which has {known}; run in the "
                "project's folder, or name a checkpoint's folder."
            )
        raise CheckpointError(
            f"'{name}' is neither a folder nor a model: bundled are {known}; on the Hub names look "
            "like user/name."
        )
    try:
        with one_attempt():
            config = Path(hf_hub_download(str(name), CONFIG, revision=revision))
            # The folder is named after the commit, which pins the weights to the same one.
            for file in files:
                hf_hub_download(str(name), file, revision=config.parent.name)
    except Exception as error:  # the library raises anything on responses that are not the Hub's
        raise CheckpointError(_sentence(error, str(name), revision)) from error
    return config.parent


def _sentence(error: Exception, name: str, revision: str | None) -> str:
    """Return what went wrong and what to do, instead of the library's paragraphs."""
    nowhere, failed = f"'{name}' is neither a folder nor a model", f"'{name}' could not be fetched"
    response = response_of(error)
    status = None if response is None else response.status_code
    if isinstance(error, errors.HFValidationError):
        return f"{nowhere} on the Hub, whose names look like user/name."
    if isinstance(error, errors.GatedRepoError):
        return f"'{name}' is gated: ask for access on its page on the Hub, then {LOG_IN}."
    if isinstance(error, errors.RevisionNotFoundError):
        return f"'{name}' has no branch, tag or commit '{revision}'."
    if isinstance(error, errors.RemoteEntryNotFoundError):
        return f"'{name}' on the Hub has no checkpoint: {CONFIG} or {WEIGHTS} is missing."
    if status == 401 and not isinstance(error, errors.RepositoryNotFoundError):
        return f"{failed}: the Hub rejects your token; {LOG_IN} again."
    if isinstance(error, errors.RepositoryNotFoundError) or status == 403:
        return f"{nowhere} you can access; if it is private, {LOG_IN}."
    if pause := pause_asked(error):
        return f"{failed}: the Hub is busy; try again {when(pause)}."
    if status is not None and status >= 400:
        return f"{failed}: the Hub answered {status}; try again later."
    if any(isinstance(e, errors.OfflineModeIsEnabled) for e in causes(error)):
        return (
            f"{nowhere} in the download cache, and the Hub cannot be reached: check the "
            "connection, and that HF_HUB_OFFLINE is not set."
        )
    if isinstance(error, errors.HTTPError):
        return f"{failed}: the connection to the Hub broke; try again later."
    return (
        f"{failed}: the response is not the Hub's, or was cut off; a network login page may be in "
        "the way. Try again later."
    )


TIMEOUT = 60.0  # s without data; the library itself would wait forever
AGAIN = 6  # requests per URL: a download resumes where it broke off
LATER = (408, 425, 429)  # statuses below 500 after which a retry may succeed
BUSY = "another conflicting operation is in progress"
YEAR = 365 * 86400.0  # s
_ALONE = threading.RLock()


class UnreachableError(errors.OfflineModeIsEnabled):
    """There was no response. The library then uses cached files, as in its offline mode."""


@contextlib.contextmanager
def one_attempt() -> Iterator[None]:
    """Make each request fail at once inside this context, instead of being retried silently.

    A request without a response raises :class:`UnreachableError`; one that may succeed later raises
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
            except errors.HTTPError as error:
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
    """Return whether a retry of the request may succeed a moment later."""
    status = response.status_code
    return status in LATER or status >= 500 or (status == 409 and BUSY in response.text)


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and its causes: the library wraps errors of its threads."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def response_of(error: Exception) -> Any | None:
    """Return the response behind an error; None if there was none."""
    found = (getattr(e, "response", None) for e in causes(error))
    return next((response for response in found if response is not None), None)


def is_foreign(error: Exception) -> bool:
    """Return whether the response is not the Hub's, but of a login page or a broken proxy."""
    kinds = (AttributeError, JSONDecodeError, LookupError, TypeError, UnicodeDecodeError)
    return any(isinstance(e, kinds) for e in causes(error))


def pause_asked(error: Exception) -> float:
    """Return how many seconds the Hub asks clients to wait; 0 if it does not say."""
    response = response_of(error)
    if response is None:
        return 0.0
    limit, value = parse_ratelimit_headers(response.headers), response.headers.get("Retry-After")
    if value is None:
        return 0.0 if limit is None or limit.remaining else min(limit.reset_in_seconds, YEAR)
    return min(float(value), YEAR) if value.strip().isdecimal() else 0.0


def when(seconds: float) -> str:
    """Return in words when so many seconds have passed, by the local clock."""
    if seconds <= 120:
        return f"in {seconds:.0f} s"
    return f"after {datetime.now() + timedelta(seconds=seconds):%Y-%m-%d %H:%M}"
