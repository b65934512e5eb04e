"""The Hugging Face Hub: who asks, what may be tried again, and what went wrong in one sentence."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from cry_model.hub import LOG_IN

if TYPE_CHECKING:
    from huggingface_hub import HfApi
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from cry_model.checkpoint import CONFIG, WEIGHTS, load_checkpoint
from train.publish.card import model_card

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


@dataclass(frozen=True)
class Upload:
    """What goes where.

    Attributes:
        repo_id: "user/name".
        kind: a model, or a Space of the Gradio kind.
        files: path in the repository -> a local file, or the content itself.
        message: of the commit.
        private: whether only the owner may see the repository.
        revision: branch, made if need be; None for the main one.
        owned: folders (ending in "/") in which nothing but ``files`` is left.
        variables: environment of the Space.
    """

    repo_id: str
    kind: Literal["model", "space"]
    files: Mapping[str, Path | bytes]
    message: str
    private: bool = False
    revision: str | None = None
    owned: Sequence[str] = ()
    variables: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self):
        check_repo_id(self.repo_id)

    def describe(self) -> str:
        """The files with their sizes, for people to read."""
        private = ", private" if self.private else ""
        branch = f", branch {self.revision}" if self.revision else ""
        sizes = {path: size(content) for path, content in self.files.items()}
        width = max(map(len, sizes))
        lines = [f"{self.kind} {self.repo_id}{private}{branch}, {len(sizes)} files:"]
        lines += [f"  {path:{width}} {count:>12,} bytes" for path, count in sizes.items()]
        lines += [f"  {'total':{width}} {sum(sizes.values()):>12,} bytes"]
        lines += [f"  variable {key} = {value}" for key, value in self.variables.items()]
        return "\n".join(lines)


def size(content: Path | bytes) -> int:
    """Bytes of one file."""
    return len(content) if isinstance(content, bytes) else content.stat().st_size


def look_ahead(repo_id: str, private: bool) -> None:
    """Asks the Hub, without changing anything, whether a model can be published there.

    Whether the account may write to this repository shows only when it does.

    Raises:
        PublishError: if the token is missing, refused or may only read, if what should be private
            is public already, or if the Hub cannot be reached.
    """
    api = log_in()
    if private and insist(f"looking for {repo_id}", lambda: api.repo_exists(repo_id)):
        _insist_on_private(api, repo_id, "model")


def publish(upload: Upload) -> str:
    """Creates the repository if need be and commits the files; unchanged ones are not sent.

    Returns:
        The address of the commit that holds the files.

    Raises:
        PublishError: if the Hub refused something or stayed unreachable; the token is checked
            before anything is created.
    """
    api = log_in()
    repo_id, kind = upload.repo_id, upload.kind
    insist(f"creating {repo_id}", lambda: _create(api, upload))
    if upload.private:
        _insist_on_private(api, repo_id, kind)
    if upload.revision is not None:
        branch = upload.revision
        insist(
            f"making the branch {branch}",
            lambda: api.create_branch(repo_id, branch=branch, repo_type=kind, exist_ok=True),
        )
    if upload.variables:
        insist(f"setting the variables of {repo_id}", lambda: _set_variables(api, upload))
    oid, address = insist(f"sending the files to {repo_id}", lambda: _commit(api, upload))
    there = insist(
        f"looking at what arrived in {repo_id}",
        lambda: set(api.list_repo_files(repo_id, repo_type=kind, revision=oid)),
    )
    if missing := [path for path in upload.files if path not in there]:
        raise PublishError(
            f"{repo_id} lacks {', '.join(missing)}: its .gitignore may leave them out; change "
            "that, or choose another repository."
        )
    return address


def _insist_on_private(api: HfApi, repo_id: str, kind: str) -> None:
    info = insist(f"looking at {repo_id}", lambda: api.repo_info(repo_id, repo_type=kind))
    if info.private not in (True, False):
        raise PublishError(f"The Hub does not say whether {repo_id} is private; try again later.")
    if not info.private:
        raise PublishError(
            f"{repo_id} is there already and public; make it private on its settings page, or "
            "choose another repository."
        )


def _create(api: HfApi, upload: Upload) -> None:
    api.create_repo(
        upload.repo_id,
        private=True if upload.private else None,
        repo_type=upload.kind,
        space_sdk="gradio" if upload.kind == "space" else None,
        exist_ok=True,
    )


def _set_variables(api: HfApi, upload: Upload) -> None:
    """Sets those that differ: each change restarts the Space."""
    present = api.get_space_variables(upload.repo_id)
    for key, value in upload.variables.items():
        if key not in present or present[key].value != value:
            api.add_space_variable(upload.repo_id, key, value)


def _commit(api: HfApi, upload: Upload) -> tuple[str, str]:
    """The name and address of one commit.

    Built anew in each attempt, because the library marks what it has sent.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    there = {"repo_id": upload.repo_id, "repo_type": upload.kind, "revision": upload.revision}
    additions = [CommitOperationAdd(path, content) for path, content in upload.files.items()]
    stale: list[str] = []
    if upload.owned:
        stale = [
            path
            for path in api.list_repo_files(**there)
            if path.startswith(tuple(upload.owned)) and path not in upload.files
        ]
    deletions = [CommitOperationDelete(path) for path in stale]
    info = api.create_commit(
        operations=[*additions, *deletions], commit_message=upload.message, **there
    )
    return info.oid, str(info.commit_url)


CARD = "README.md"


def checkpoint_upload(
    folder: Path, repo_id: str, private: bool = False, revision: str | None = None
) -> Upload:
    """The weights, the config and the model card that is written from it.

    Raises:
        CheckpointError: if the checkpoint is damaged.
        PublishError: if ``repo_id`` is no name for a repository.
    """
    model, config = load_checkpoint(folder)
    parameters = sum(p.numel() for p in model.parameters())
    card = model_card(config, parameters, repo_id)
    return Upload(
        repo_id=repo_id,
        kind="model",
        files={CARD: card.encode(), CONFIG: folder / CONFIG, WEIGHTS: folder / WEIGHTS},
        message=f"Publish {config.system}",
        private=private,
        revision=revision,
    )


@dataclass(frozen=True)
class Destination:
    """Where a fit publishes its checkpoint.

    Attributes:
        repo_id: "user/name".
        private: whether only the owner may see the repository.

    Raises:
        PublishError: if ``repo_id`` is no name for a repository.
    """

    repo_id: str
    private: bool = False

    def __post_init__(self):
        check_repo_id(self.repo_id)

    def check(self) -> None:
        """Finds out before a long fit what would stand in the way after it; creates nothing.

        Raises:
            PublishError: as :func:`train.publish.hub.look_ahead` does.
        """
        look_ahead(self.repo_id, self.private)

    def send(self, folder: Path) -> str:
        """Publishes the checkpoint in ``folder``; the address of the commit.

        Raises:
            PublishError: if that failed; the message says where the checkpoint is kept.
        """
        try:
            return publish(checkpoint_upload(folder, self.repo_id, self.private))
        except PublishError as error:
            later = ["publish", str(folder), "--repo-id", self.repo_id]
            command = shlex.join([*later, *(["--private"] if self.private else [])])
            raise PublishError(
                f"{error} The checkpoint is kept in {folder}; later, 'python -m train {command}' "
                "sends it."
            ) from error


ROOT = Path(__file__).parents[2]
FILES = ("app.py", "README.md", "requirements.txt", "LICENSE")
PACKAGES = ("cry_model", "analysis")
CODE = (".py", ".css", ".js")
# By name: whatever else somebody keeps there, a recording perhaps, stays at home.
ASSETS = (
    "checkpoints/*/config.json",
    "checkpoints/*/model.safetensors",
    "examples/README.md",
    "examples/synthetic_*.wav",
    "results/**/*.csv",
    "results/**/*.json",
    "search/**/*.csv",
    "search/**/*.json",
    "paper_reference.json",
    "screenshot.png",
)
FOLDERS = tuple(f"{folder}/" for folder in (*PACKAGES, "assets"))
"""What belongs to us in a Space: a file there that is not in the list is out of date."""


def space_files(root: Path = ROOT) -> dict[str, Path]:
    """Path in the Space -> local file, sorted by path.

    Raises:
        PublishError: if ``root`` is not a whole copy of the product.
    """
    missing = [name for name in (*FILES, *FOLDERS) if not (root / name).exists()]
    if missing:
        raise PublishError(f"{root} is not a whole copy of the product: no {', '.join(missing)}.")
    found = [root / name for name in FILES]
    for package in PACKAGES:
        found += [path for path in (root / package).rglob("*") if path.suffix in CODE]
    for pattern in ASSETS:
        found += (root / "assets").glob(pattern)
    names = {path.relative_to(root).as_posix(): path for path in found if path.is_file()}
    # An editor's own copies live in hidden folders.
    return {name: names[name] for name in sorted(names) if "/." not in f"/{name}"}
