"""Checkpoints by name: a folder, or a repository of the Hugging Face Hub, fetched and kept."""

from __future__ import annotations

import os
from pathlib import Path

from cry_model.checkpoint import WEIGHTS
from cry_model.config import CONFIG, CheckpointError

LOG_IN = "log in with `hf auth login` or set HF_TOKEN"


def find_checkpoint(name: str | os.PathLike, revision: str | None = None) -> Path:
    """A local folder as it is, or a Hub repository's files, downloaded and cached.

    Args:
        name: a folder, or a repository id such as "user/model".
        revision: branch, tag or commit of the repository.

    Raises:
        CheckpointError: if there is neither such a folder nor such a repository, or the Hub
            cannot be reached and the files are not here from an earlier download.
    """
    if os.path.isdir(name):  # noqa: PTH112 - pathlib's raises where a name is too long
        return Path(name)
    from huggingface_hub import hf_hub_download

    from cry_model.hub_client import one_attempt

    try:
        with one_attempt():
            config = Path(hf_hub_download(str(name), CONFIG, revision=revision))
            # The folder is named after the commit: the weights must not come from a later one.
            hf_hub_download(str(name), WEIGHTS, revision=config.parent.name)
    except Exception as error:  # what does not come from the Hub can make the library raise any
        raise CheckpointError(_sentence(error, str(name), revision)) from error
    return config.parent


def _sentence(error: Exception, name: str, revision: str | None) -> str:
    """What went wrong and what to do, in place of the library's paragraphs."""
    from huggingface_hub import errors

    from cry_model.hub_client import causes, pause_asked, response_of, when

    nowhere, failed = f"'{name}' is neither a folder nor a model", f"'{name}' could not be fetched"
    response = response_of(error)
    status = None if response is None else response.status_code
    if isinstance(error, errors.HFValidationError):
        return f"{nowhere} of the Hub, whose names look like user/name."
    if isinstance(error, errors.GatedRepoError):
        return f"'{name}' is gated: ask for access on its page on the Hub, then {LOG_IN}."
    if isinstance(error, errors.RevisionNotFoundError):
        return f"'{name}' has no branch, tag or commit '{revision}'."
    if isinstance(error, errors.RemoteEntryNotFoundError):
        return f"'{name}' on the Hub is no checkpoint of ours: {CONFIG} or {WEIGHTS} is missing."
    if status == 401 and not isinstance(error, errors.RepositoryNotFoundError):
        return f"{failed}: the Hub refuses the access token; {LOG_IN} anew."
    if isinstance(error, errors.RepositoryNotFoundError) or status == 403:
        return f"{nowhere} that the Hub shows you; if it is private, {LOG_IN}."
    if pause := pause_asked(error):
        return f"{failed}: the Hub wants a pause; try again {when(pause)}."
    if status is not None and status >= 400:
        return f"{failed}: the Hub answered {status}; try again later."
    if any(isinstance(e, errors.OfflineModeIsEnabled) for e in causes(error)):
        return (
            f"{nowhere} kept from an earlier download, and the Hub cannot be reached: check the "
            "connection, and that HF_HUB_OFFLINE is not set."
        )
    if isinstance(error, errors.HTTPError):
        return f"{failed}: the connection to the Hub broke; try again later."
    return (
        f"{failed}: what answered does not speak as the Hub does, or was cut; a login page of the "
        "network may be in the way. Try again later."
    )
