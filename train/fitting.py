"""One fit of a run: what it learns from, its progress bar, its curves."""

from __future__ import annotations

from dataclasses import replace

from torch import nn
from tqdm import tqdm

from train.clips import Clips
from train.feature_tables import TableFrontEnd
from train.loop import Epoch, Lesson, fit
from train.predicting import TrainingFrontEnd
from train.readout import solve_readout
from train.run import Run
from train.splits import PROTOCOLS, require_two_labels, split
from train.table_fit import fit_table


def train_model(
    run: Run, clips: Clips, front_end: TrainingFrontEnd, seed: int, fold: int | None
) -> nn.Module:
    """Fits a fold's training part or, with ``fold`` None, everything; goes on from a kept state."""
    accelerator, preset = run.accelerator, run.preset
    learnt, watched = hold_back(run, clips, seed)
    if run.teacher is None:
        require_two_labels(learnt.items, "What this fit learns from")
    if isinstance(front_end, TableFrontEnd):
        return fit_table(run.model(seed), clips, preset, seed)
    where = f"seed {seed}, " + ("all recordings" if fold is None else f"fold {fold}")
    memory = run.memory(seed, fold)
    if run.track:
        accelerator.init_trackers(f"{run.name}/{run.protocol}/{run.system}/{where}")
    with tqdm(
        total=preset.epochs,
        desc=f"{run.system}, {where}",
        unit="epoch",
        **({} if accelerator.is_main_process else {"disable": True}),  # or as TQDM_DISABLE has it
    ) as bar:

        def report(epoch: Epoch) -> None:
            if not bar.n:  # the first after a resume: what came before took none of this time
                bar.initial = bar.n = epoch.number - 1
            bar.set_postfix(curves(epoch), refresh=False)
            bar.update()
            if run.track:
                accelerator.log(curves(epoch), step=epoch.number)

        lesson = Lesson(learnt, len(run.labels), watched, run.teacher)
        model = run.model(seed)
        model = fit(model, front_end, lesson, preset, seed, accelerator, memory, report)
    if run.track:
        accelerator.end_training()
    if run.teacher is not None and run.teacher.reused:
        solve_readout(model, front_end, learnt, run.teacher)
    return model


def hold_back(run: Run, clips: Clips, seed: int) -> tuple[Clips, Clips | None]:
    """What to learn from and what to watch: labelled clips, split off as the protocol splits."""
    items = [replace(item, fold=None) for item in clips.items]
    labelled = [i for i, item in enumerate(items) if item.label is not None]
    if not run.preset.validation or not labelled:
        return clips, None
    count = round(1 / run.preset.validation)
    fold_of = split([items[i] for i in labelled], run.protocol, count, seed)
    watched = [i for i, fold in zip(labelled, fold_of, strict=True) if fold == 0]
    key = PROTOCOLS[run.protocol]
    taken = {key(items[i]) for i in watched}
    learnt = [i for i, item in enumerate(items) if key(item) not in taken]
    return clips.subset(learnt), clips.subset(watched)


def curves(epoch: Epoch) -> dict[str, float]:
    """What the bar and the trackers show of an epoch."""
    values = {"loss": epoch.loss, "rate": epoch.learning_rate}
    if epoch.score is not None:
        values["validation loss"] = epoch.score.loss
        values["validation balanced accuracy"] = epoch.score.balanced_accuracy
    return values
