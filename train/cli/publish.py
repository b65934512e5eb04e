"""``python -m train publish``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from train.cli.options import Options, Private, option
from train.publish import hub


@dataclass(frozen=True, kw_only=True)
class PublishOptions(Options):
    """Put a checkpoint, or with --space the page, on the Hugging Face Hub.

    A checkpoint goes there with its config and a model card written from that; the page as a
    Gradio Space, with what it needs and nothing else. Needs a token with write access: hf auth
    login, or HF_TOKEN.
    """

    checkpoint: Annotated[Path | None, typer.Argument(help="folder of the checkpoint")] = None
    repo_id: Annotated[str, option("where to", metavar="USER/NAME")]
    private: Private = False
    dry_run: Annotated[bool, option("show what would be sent, send nothing", "--dry-run")] = False
    revision: Annotated[
        str | None, option("branch to commit a checkpoint to, made if need be", metavar="BRANCH")
    ] = None
    space: Annotated[bool, option("publish the page instead of a checkpoint", "--space")] = False
    model: Annotated[
        str | None,
        option("checkpoint that answers on a --space: its CRY_MODEL", metavar="USER/NAME@REVISION"),
    ] = None

    def upload(self) -> hub.Upload:
        """Collect what is to be sent; raise PublishError if the options do not go together."""
        if not self.space:
            if self.checkpoint is None:
                raise hub.PublishError("Name the folder of a checkpoint, or give --space.")
            if self.model is not None:
                raise hub.PublishError("--model is about a --space; leave it out.")
            return hub.checkpoint_upload(self.checkpoint, self.repo_id, self.private, self.revision)
        if self.checkpoint is not None or self.revision is not None:
            raise hub.PublishError(
                "--space sends the page; leave out the checkpoint, --revision too."
            )
        return hub.space_upload(self.repo_id, self.private, self.model)


def run(options: PublishOptions) -> None:
    """Publish, or show what would be published."""
    upload = options.upload()
    print(upload.describe())
    if not options.dry_run:
        print(f"Published: {hub.publish(upload)}")
    elif hub.CARD in upload.files and not options.space:
        print(f"\n{hub.CARD}:\n\n{upload.files[hub.CARD].decode()}")
