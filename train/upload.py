"""Files into a repository of the Hub, in one commit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from train.hub import PublishError, check_repo_id, insist, log_in

if TYPE_CHECKING:
    from huggingface_hub import HfApi


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
