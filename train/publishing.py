"""A checkpoint on the Hub: what its repository holds, and where a fit sends its own."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from cry_model.checkpoint import CONFIG, WEIGHTS, load_checkpoint
from train.hub import PublishError, check_repo_id
from train.model_card import model_card
from train.upload import Upload, look_ahead, publish

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
            PublishError: as :func:`train.upload.look_ahead` does.
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
