"""Publish checkpoints and the page on the Hugging Face Hub; report each failure in one sentence."""

from __future__ import annotations

import re
import shlex
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, ParamSpec, TypeVar

from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationDelete,
    HfApi,
    SpaceCard,
    get_token,
)
from huggingface_hub.errors import HFValidationError, HTTPError, OfflineModeIsEnabled
from huggingface_hub.utils import validate_repo_id

from cry_model.checkpoint import CONFIG, WEIGHTS, load_checkpoint
from cry_model.hub import (
    LOG_IN,
    UnreachableError,
    causes,
    is_foreign,
    may_pass,
    one_attempt,
    pause_asked,
    response_of,
    when,
)
from train.publish.card import model_card, read_exported

ROOT = Path(__file__).parents[2]
CARD = "README.md"
PAUSES = (1.0, 3.0, 9.0)  # s, before the second, third and fourth attempt
LONGEST_PAUSE = 60.0  # s; if the Hub asks for a longer pause, give up and tell the user
TAKE_ANOTHER = "use one with write access from huggingface.co/settings/tokens"
REFUSALS = {
    401: f"The Hub rejected your token while {{}}; {LOG_IN} again.",
    402: "A paid Hub plan is needed for {}; see huggingface.co/pricing.",
    403: f"This access token has no permission for {{}}; {TAKE_ANOTHER}, or choose another "
    "repository.",
    404: "The Hub found nothing there while {}; check the names that you gave.",
}
FOLDERS = ("cry_model/", "analysis/", "assets/")
"""Folders of a Space that this project owns: remote files there that are not sent are stale."""
SPACE = (
    "app.py", "README.md", "requirements.txt", "LICENSE", "cry_model/**/*.py", "analysis/**/*.py",
    "analysis/**/*.css", "analysis/**/*.js", "analysis/**/*.j2", "analysis/words/*.json",
    # Explicit names, so that private files in these folders, such as recordings, are never sent.
    "assets/checkpoints/*/config.json", "assets/checkpoints/*/model.safetensors",
    "assets/examples/README.md", "assets/examples/synthetic_*.wav", "assets/results/**/*.csv",
    "assets/results/**/*.json", "assets/paper_reference.json", "assets/icon.png",
    "assets/analysis.png",
    "assets/screenshot.png",
)  # fmt: skip
"""Files of a Space; results of hyperparameter searches (assets/search) are not part of the page."""

P = ParamSpec("P")
Result = TypeVar("Result")


class PublishError(RuntimeError):
    """Publishing failed or is incomplete; the message says why and what to do."""


def check_repo_id(repo_id: str) -> None:
    """Raise PublishError if ``repo_id`` is not of the form "user/name"."""
    try:
        validate_repo_id(repo_id)
        valid = repo_id.count("/") == 1
    except HFValidationError:
        valid = False
    if not valid:
        raise PublishError(
            f"'{repo_id}' is not a repository name; use user/name, with letters, digits, '-', '_' "
            "and '.' in each part."
        )


def retry(what: str, action: Callable[P, Result], *args: P.args, **kwargs: P.kwargs) -> Result:
    """Call ``action``; retry it after a pause if the connection drops, or the Hub fails or is busy.

    This is the only place that repeats requests; each pause is announced. Raise PublishError if the
    last attempt fails, or if the Hub asks for more than :data:`LONGEST_PAUSE`. ``what`` describes
    the action in the message.
    """
    pauses = iter(PAUSES)
    while True:
        try:
            with one_attempt():
                return action(*args, **kwargs)
        except Exception as error:  # the library may raise anything on a foreign response
            pause, asked = next(pauses, None), pause_asked(error)
            if pause is None or asked > LONGEST_PAUSE or not _may_pass(error):
                raise PublishError(_sentence(what, error)) from error
        pause, why = max(pause, asked), "is busy" if asked else "cannot be reached or fails"
        print(f"The Hub {why} while {what}; retrying in {pause:.0f} s.", file=sys.stderr)
        time.sleep(pause)


def _may_pass(error: Exception) -> bool:
    """Return whether the error is transient, so that a retry may succeed."""
    if (response := response_of(error)) is not None:
        return may_pass(response)
    chain = tuple(causes(error))
    if any(isinstance(e, OfflineModeIsEnabled) for e in chain):
        return any(isinstance(e, UnreachableError) for e in chain)
    return any(isinstance(e, HTTPError | ConnectionError | TimeoutError) for e in chain)


def _sentence(what: str, error: Exception) -> str:
    """Return a sentence on what went wrong and what to do, instead of the library's paragraphs."""
    response, pause = response_of(error), pause_asked(error)
    status = None if response is None else response.status_code
    if status in REFUSALS:
        return REFUSALS[status].format(what)
    if pause > LONGEST_PAUSE:
        return f"The Hub is busy while {what}; run the command again {when(pause)}."
    if _may_pass(error):
        problem = "could not be reached" if status is None else f"answered {status}"
        return (
            f"The Hub {problem} while {what}, {len(PAUSES) + 1} times in a row; run the command "
            "again later: it sends only what is missing."
        )
    if isinstance(error, OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE is set, so nothing can be published; unset it."
    why = " ".join(f"{error}"[:500].split())
    if is_foreign(error):
        return (
            f"The response while {what} is not the Hub's ({why}); a network login page may be in "
            "the way. Run the command again later."
        )
    return f"The Hub returned an error while {what}: {why}"


def log_in() -> HfApi:
    """Return the Hub API; raise PublishError if the access token is missing or cannot write."""
    token = get_token()
    if token is None:
        raise PublishError(f"There is no access token for the Hub; {LOG_IN}.")
    api = HfApi(token=token)
    if retry("asking the Hub who you are", _role, api) == "read":
        raise PublishError(f"This access token is read-only; {TAKE_ANOTHER}.")
    return api


def _role(api: HfApi) -> str | None:
    """Return the token's role, if the Hub names it; a response without "name" raises KeyError."""
    who = api.whoami()
    return who["name"] and who.get("auth", {}).get("accessToken", {}).get("role")


def _check_private(api: HfApi, repo_id: str, kind: str) -> None:
    private = retry(f"looking at {repo_id}", api.repo_info, repo_id, repo_type=kind).private
    if private not in (True, False):
        raise PublishError(f"The Hub does not say whether {repo_id} is private; try again later.")
    if not private:
        raise PublishError(
            f"{repo_id} exists and is public; make it private on its settings page, or choose "
            "another repository."
        )


@dataclass(frozen=True)
class Upload:
    """The files to send, and their destination."""

    repo_id: str  # "user/name"
    kind: Literal["model", "space"]  # a model, or a Gradio Space
    # path in the repository -> a local file, or the content itself
    files: Mapping[str, Path | bytes]
    message: str  # of the commit
    private: bool = False  # whether the repository is visible to its owner only
    variables: Mapping[str, str] = field(default_factory=dict)  # environment of the Space

    def __post_init__(self):
        check_repo_id(self.repo_id)

    def describe(self) -> str:
        """Return a readable list of the files with their sizes."""
        private = ", private" if self.private else ""
        sizes = {
            path: len(content) if isinstance(content, bytes) else content.stat().st_size
            for path, content in self.files.items()
        }
        width = max(map(len, sizes))
        lines = [f"{self.kind} {self.repo_id}{private}, {len(sizes)} files:"]
        sizes["total"] = sum(sizes.values())
        lines += [f"  {path:{width}} {count:>12,} bytes" for path, count in sizes.items()]
        lines += [f"  variable {key} = {value}" for key, value in self.variables.items()]
        return "\n".join(lines)


def publish(upload: Upload) -> str:
    """Create the repository if needed, commit the files, and return the commit's URL.

    Unchanged files are not sent; the token is checked before anything is created. Raise
    PublishError if the Hub refuses a request or stays unreachable.
    """
    api, repo_id, kind = log_in(), upload.repo_id, upload.kind
    retry(
        f"creating {repo_id}",
        api.create_repo,
        repo_id,
        private=upload.private or None,
        repo_type=kind,
        space_sdk="gradio" if kind == "space" else None,
        exist_ok=True,
    )
    if upload.private:
        _check_private(api, repo_id, kind)
    if upload.variables:
        retry(f"setting the variables of {repo_id}", _set_variables, api, upload)
    oid, address = retry(f"sending the files to {repo_id}", _commit, api, upload)
    what = f"looking at what arrived in {repo_id}"
    there = set(retry(what, api.list_repo_files, repo_id, repo_type=kind, revision=oid))
    if missing := [path for path in upload.files if path not in there]:
        raise PublishError(
            f"{repo_id} lacks {', '.join(missing)}: its .gitignore may leave them out; change "
            "that, or choose another repository."
        )
    return address


def _set_variables(api: HfApi, upload: Upload) -> None:
    """Set only the variables that differ, because each change restarts the Space."""
    present = api.get_space_variables(upload.repo_id)
    for key, value in upload.variables.items():
        if key not in present or present[key].value != value:
            api.add_space_variable(upload.repo_id, key, value)


def _commit(api: HfApi, upload: Upload) -> tuple[str, str]:
    """Send everything in one commit and return its hash and URL.

    ``upload_folder`` would split many files into several commits, and a Space would restart with
    half of them. Each attempt builds new operations, because the library marks those it has sent.
    """
    repo_id, files = upload.repo_id, upload.files
    there = api.list_repo_files(repo_id, repo_type="space") if upload.kind == "space" else []
    stale = [path for path in there if path.startswith(FOLDERS) and path not in files]
    operations = [
        *(CommitOperationAdd(path, content) for path, content in files.items()),
        *map(CommitOperationDelete, stale),
    ]
    what = {"commit_message": upload.message, "repo_type": upload.kind}
    info = api.create_commit(repo_id, operations, **what)
    return info.oid, str(info.commit_url)


def checkpoint_upload(folder: Path, repo_id: str, private: bool = False) -> Upload:
    """Return the upload of the weights, the config and the model card generated from it.

    It includes files that ``export`` wrote into the folder. Raise CheckpointError if the checkpoint
    is damaged or an exported file is from another one; PublishError if ``repo_id`` is invalid.
    """
    model, config = load_checkpoint(folder)
    exported = read_exported(folder, config)
    card = model_card(config, sum(p.numel() for p in model.parameters()), repo_id, exported)
    files = {CARD: card.encode(), CONFIG: folder / CONFIG, WEIGHTS: folder / WEIGHTS}
    files |= {file["name"]: folder / file["name"] for file in exported}
    return Upload(repo_id, "model", files, f"Publish {config.system}", private)


def check_destination(repo_id: str, private: bool) -> None:
    """Check before a long fit that publishing can succeed afterwards; create nothing.

    Write permission for this repository cannot be checked in advance. Raise PublishError if the
    token is missing, refused or read-only, if a repository meant to be private is already public,
    or if the Hub is unreachable.
    """
    api = log_in()
    if private and retry(f"looking for {repo_id}", api.repo_exists, repo_id):
        _check_private(api, repo_id, "model")


def send(folder: Path, repo_id: str, private: bool) -> str:
    """Publish a checkpoint and return the commit's URL; on failure, say how to send it later."""
    try:
        return publish(checkpoint_upload(folder, repo_id, private))
    except PublishError as error:
        later = ["publish", str(folder), "--repo-id", repo_id, *(["--private"] if private else [])]
        raise PublishError(
            f"{error} The checkpoint is kept in {folder}; later, 'python -m train "
            f"{shlex.join(later)}' sends it."
        ) from error


def space_files(root: Path = ROOT) -> dict[str, Path]:
    """Return path in the Space -> local file; raise PublishError if a pattern matches no file."""
    found = {pattern: [p for p in root.glob(pattern) if p.is_file()] for pattern in SPACE}
    if missing := [pattern for pattern, paths in found.items() if not paths]:
        raise PublishError(f"{root} is not a complete copy: no {', '.join(missing)}.")
    names = {path.relative_to(root).as_posix(): path for paths in found.values() for path in paths}
    # Skip hidden folders, in which editors keep copies of files.
    return {name: names[name] for name in sorted(names) if "/." not in f"/{name}"}


def space_upload(repo_id: str, private: bool = False, model: str | None = None) -> Upload:
    """Return the upload of the page; with ``model``, the README's header names that checkpoint.

    ``model`` is "user/name" or "user/name@revision". The Space preloads it at build time, unless
    the revision is a branch or a tag, which the Hub does not support there. Raise PublishError if a
    repository name is invalid, or if files of the page are missing.
    """
    files: dict[str, Any] = space_files()  # path -> a local file, or the content itself
    if model is not None:
        name, _, revision = model.partition("@")
        check_repo_id(name)
        card = SpaceCard(files[CARD].read_text(encoding="utf-8"))
        card.data.models = [name]
        if not revision or re.fullmatch("[0-9a-f]{40}", revision):
            card.data.preload_from_hub = [f"{name} {CONFIG},{WEIGHTS} {revision}".strip()]
        files[CARD] = str(card).encode()
    variables = {} if model is None else {"CRY_MODEL": model}
    return Upload(repo_id, "space", files, "Publish the page", private, variables)
