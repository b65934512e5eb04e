"""Publish checkpoints and the page on the Hugging Face Hub; each failure is one sentence."""

from __future__ import annotations

import re
import shlex
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, ParamSpec, TypeVar

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
LONGEST_PAUSE = 60.0  # s that the Hub may ask for; for longer, people come back themselves
TAKE_ANOTHER = "take one with write access from huggingface.co/settings/tokens"
REFUSALS = {
    401: f"The Hub refused the access token while {{}}; {LOG_IN} anew.",
    402: "The Hub wants a paid plan for {}; see huggingface.co/pricing.",
    403: f"This access token has no permission for {{}}; {TAKE_ANOTHER}, or choose another "
    "repository.",
    404: "The Hub found nothing there while {}; check the names that you gave.",
}
FOLDERS = ("cry_model/", "analysis/", "assets/")
"""Folders of a Space that are ours: a file there that is not in the list is out of date."""
SPACE = (
    "app.py", "README.md", "requirements.txt", "LICENSE", "cry_model/**/*.py", "analysis/**/*.py",
    "analysis/**/*.css", "analysis/**/*.js", "analysis/**/*.j2", "analysis/words/*.json",
    # By name: whatever else somebody keeps there, a recording perhaps, stays at home.
    "assets/checkpoints/*/config.json", "assets/checkpoints/*/model.safetensors",
    "assets/examples/README.md", "assets/examples/synthetic_*.wav", "assets/results/**/*.csv",
    "assets/results/**/*.json", "assets/paper_reference.json", "assets/icon.png",
    "assets/analysis.png",
    "assets/screenshot.png",
)  # fmt: skip
"""Files of a Space; what the searches for settings left (assets/search) is no part of the page."""

P = ParamSpec("P")
Result = TypeVar("Result")


class PublishError(RuntimeError):
    """Nothing, or not all, was published; the message says why and what to do."""


def check_repo_id(repo_id: str) -> None:
    """Raise PublishError if ``repo_id`` is not of the form "user/name"."""
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


def retry(what: str, action: Callable[P, Result], *args: P.args, **kwargs: P.kwargs) -> Result:
    """Call ``action``, again after a pause while the connection drops, or the Hub fails or is busy.

    The only place where a request is repeated; each pause is announced. Raise PublishError if it
    failed for good, or the Hub asks for more than :data:`LONGEST_PAUSE`; ``what`` names it in the
    message.
    """
    pauses = iter(PAUSES)
    while True:
        try:
            with one_attempt():
                return action(*args, **kwargs)
        except Exception as error:  # what does not come from the Hub can make the library raise any
            pause, asked = next(pauses, None), pause_asked(error)
            if pause is None or asked > LONGEST_PAUSE or not _may_pass(error):
                raise PublishError(_sentence(what, error)) from error
        pause, why = max(pause, asked), "wants a pause" if asked else "cannot be reached or fails"
        print(f"The Hub {why} while {what}; once more in {pause:.0f} s.", file=sys.stderr)
        time.sleep(pause)


def _may_pass(error: Exception) -> bool:
    """Return whether the same request can succeed a moment later."""
    if (response := response_of(error)) is not None:
        return may_pass(response)
    chain = tuple(causes(error))
    if any(isinstance(e, OfflineModeIsEnabled) for e in chain):
        return any(isinstance(e, UnreachableError) for e in chain)
    return any(isinstance(e, HTTPError | ConnectionError | TimeoutError) for e in chain)


def _sentence(what: str, error: Exception) -> str:
    """Return what went wrong and what to do, in place of the library's paragraphs."""
    response, pause = response_of(error), pause_asked(error)
    status = None if response is None else response.status_code
    if status in REFUSALS:
        return REFUSALS[status].format(what)
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


def log_in() -> HfApi:
    """Return the Hub; raise PublishError if it does not accept the access token for writing."""
    token = get_token()
    if token is None:
        raise PublishError(f"There is no access token for the Hub; {LOG_IN}.")
    api = HfApi(token=token)
    if retry("asking the Hub who you are", _role, api) == "read":
        raise PublishError(f"This access token may only read; {TAKE_ANOTHER}.")
    return api


def _role(api: HfApi) -> str | None:
    """Return what the token may do, if the Hub says so; any answer of the Hub has a name."""
    who = api.whoami()
    return who["name"] and who.get("auth", {}).get("accessToken", {}).get("role")


def _check_private(api: HfApi, repo_id: str, kind: str) -> None:
    private = retry(f"looking at {repo_id}", api.repo_info, repo_id, repo_type=kind).private
    if private not in (True, False):
        raise PublishError(f"The Hub does not say whether {repo_id} is private; try again later.")
    if not private:
        raise PublishError(
            f"{repo_id} is there already and public; make it private on its settings page, or "
            "choose another repository."
        )


@dataclass(frozen=True)
class Upload:
    """Say what goes where."""

    repo_id: str  # "user/name"
    kind: Literal["model", "space"]  # a model, or a Space of the Gradio kind
    # path in the repository -> a local file, or the content itself
    files: Mapping[str, Path | bytes]
    message: str  # of the commit
    private: bool = False  # whether only the owner may see the repository
    variables: Mapping[str, str] = field(default_factory=dict)  # environment of the Space

    def __post_init__(self):
        check_repo_id(self.repo_id)

    def describe(self) -> str:
        """Return the files with their sizes, for people to read."""
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
    """Create the repository if need be, commit the files, and return the commit's address.

    Unchanged files are not sent; the token is checked before anything is created. Raise
    PublishError if the Hub refused something or stayed unreachable.
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
    """Set those that differ: each change restarts the Space."""
    present = api.get_space_variables(upload.repo_id)
    for key, value in upload.variables.items():
        if key not in present or present[key].value != value:
            api.add_space_variable(upload.repo_id, key, value)


def _commit(api: HfApi, upload: Upload) -> tuple[str, str]:
    """Return the name and address of one commit that holds everything.

    Unlike ``upload_folder``, which sends many files as several commits: a Space would restart on
    half a page. Built anew in each attempt, because the library marks what it has sent.
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
    """Return the weights, the config and the model card that is written from it.

    What ``export`` wrote into the same folder goes along. Raise CheckpointError if the checkpoint
    is damaged, or an exported file is that of another; PublishError if ``repo_id`` is no name.
    """
    model, config = load_checkpoint(folder)
    exported = read_exported(folder, config)
    card = model_card(config, sum(p.numel() for p in model.parameters()), repo_id, exported)
    files = {CARD: card.encode(), CONFIG: folder / CONFIG, WEIGHTS: folder / WEIGHTS}
    files |= {file.name: folder / file.name for file in exported}
    return Upload(repo_id, "model", files, f"Publish {config.system}", private)


def check_destination(repo_id: str, private: bool) -> None:
    """Find out before a long fit what would stand in the way after it; create nothing.

    Whether the account may write to this repository shows only when it does. Raise PublishError if
    the token is missing, refused or may only read, if what should be private is public already, or
    if the Hub cannot be reached.
    """
    api = log_in()
    if private and retry(f"looking for {repo_id}", api.repo_exists, repo_id):
        _check_private(api, repo_id, "model")


def send(folder: Path, repo_id: str, private: bool) -> str:
    """Publish a checkpoint; return the commit's address, or say where it is kept."""
    try:
        return publish(checkpoint_upload(folder, repo_id, private))
    except PublishError as error:
        later = ["publish", str(folder), "--repo-id", repo_id, *(["--private"] if private else [])]
        raise PublishError(
            f"{error} The checkpoint is kept in {folder}; later, 'python -m train "
            f"{shlex.join(later)}' sends it."
        ) from error


def space_files(root: Path = ROOT) -> dict[str, Path]:
    """Return path in the Space -> local file; raise PublishError if ``root`` lacks some."""
    found = {pattern: [p for p in root.glob(pattern) if p.is_file()] for pattern in SPACE}
    if missing := [pattern for pattern, paths in found.items() if not paths]:
        raise PublishError(f"{root} is not a whole copy of the product: no {', '.join(missing)}.")
    names = {path.relative_to(root).as_posix(): path for paths in found.values() for path in paths}
    # An editor's own copies live in hidden folders.
    return {name: names[name] for name in sorted(names) if "/." not in f"/{name}"}


def space_upload(repo_id: str, private: bool = False, model: str | None = None) -> Upload:
    """Return the page and, where a checkpoint of the Hub answers on it, a header that names it.

    That is ``model``, "user/name" or "user/name@revision". The Space downloads it while it is
    built; but not a branch or a tag, which the Hub does not take for that. Raise PublishError if a
    name is none for a repository, or files of the page are missing.
    """
    files: dict[str, Path | bytes] = {**space_files()}
    if model is not None:
        name, _, revision = model.partition("@")
        check_repo_id(name)
        files[CARD] = header_with(space_files()[CARD].read_text(encoding="utf-8"), name, revision)
    variables = {} if model is None else {"CRY_MODEL": model}
    return Upload(repo_id, "space", files, "Publish the page", private, variables)


def header_with(readme: str, model: str, revision: str) -> bytes:
    """Return README.md with a checkpoint in its header, to be linked and to be preloaded."""
    card = SpaceCard(readme)
    card.data.models = [model]
    if not revision or re.fullmatch("[0-9a-f]{40}", revision):
        card.data.preload_from_hub = [f"{model} {CONFIG},{WEIGHTS} {revision}".strip()]
    return str(card).encode()
