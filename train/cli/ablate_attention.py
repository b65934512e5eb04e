"""``python -m train ablate-attention``."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated

from accelerate import Accelerator

from cry_model.checkpoint import (
    WEIGHTS,
    CheckpointConfig,
    CheckpointError,
    load_checkpoint,
    to_json,
    write_atomically,
)
from cry_model.registry import list_models
from cry_model.results import PREDICTIONS, RUN
from train.cli.options import SYSTEMS, CorpusOptions, Device, one_of, option
from train.data.cache import find_corpus, with_folds
from train.data.clips import permute_labels
from train.data.corpus import DataError
from train.data.datasets import DATASETS, folder
from train.data.splits import PROTOCOLS, OuterFold
from train.fit.cross_validation import saved_folds
from train.fit.devices import make_accelerator
from train.fit.presets import usual_preset
from train.fit.run import Experiment, Run
from train.scoring import results
from train.studies.attention_ablation import AttentionEffect, ablations, measure

EFFECT = "attention_effect.json"


@dataclass(frozen=True, kw_only=True)
class AblateAttentionOptions(CorpusOptions):
    """Measure what each attention does to the answers of saved folds.

    The weights that 'fit --save-folds' saved answer once more, with each attention replaced by a
    mean or uniform one; what becomes of the held-out answers, and the entropy of both maps, goes
    to attention_effect.json beside the predictions. What is there and newer than weights and
    predictions is not measured again.
    """

    out: Annotated[Path, option("where 'fit' put results and saved folds")] = Path("runs")
    dataset: Annotated[
        list[str], option("only these; by default all that are there", metavar="DATASET")
    ] = ()
    protocol: Annotated[
        list[str], option("only these; by default all", parser=one_of(PROTOCOLS))
    ] = ()
    system: Annotated[
        list[str],
        option(
            f"only these, by default all; of {SYSTEMS}",
            parser=one_of(list_models()),
            metavar="SYSTEM",
        ),
    ] = ()
    device: Device = "auto"


@dataclass(frozen=True)
class Cell:
    """What was fitted with ``--save-folds`` into the folder ``out``."""

    out: Path
    dataset: str
    protocol: str
    system: str

    def __str__(self) -> str:
        return f"{self.dataset}/{self.protocol}/{self.system}"

    @property
    def results_folder(self) -> Path:
        """Where its predictions are."""
        return self.out / "results" / self.dataset / self.protocol / self.system

    @property
    def kept(self) -> list[tuple[int, int, Path]]:
        """Its seeds and folds with their checkpoints."""
        return list(saved_folds(self.out, self.dataset, self.protocol, self.system))

    @property
    def is_measured(self) -> bool:
        """Whether the file is there and newer than predictions and weights."""
        made_of = [self.results_folder / PREDICTIONS, *(at / WEIGHTS for *_, at in self.kept)]
        effect = self.results_folder / EFFECT
        if not all(path.exists() for path in (effect, *made_of)):
            return False
        return effect.stat().st_mtime_ns > max(path.stat().st_mtime_ns for path in made_of)


def run(options: AblateAttentionOptions) -> None:
    """Measure cell by cell; what is wrong with one does not stop the others; raise DataError at the
    end, with a sentence for each that could not be measured."""
    accelerator = make_accelerator(options.device)  # its precision is for fitting
    wrong = []
    for cell in find_cells(options):
        try:
            print(f"{cell}: {look(options, cell, accelerator)}", flush=True)
        except (CheckpointError, DataError) as error:
            wrong.append(f"{cell}: {error}")
    if wrong:
        raise DataError("\n".join(wrong))


def find_cells(options: AblateAttentionOptions) -> list[Cell]:
    """Return all cells with a saved fold that are asked for, in alphabetical order; raise DataError
    if there is none."""
    folders = options.out / "folds"
    cells = [Cell(options.out, *path.parts[-3:]) for path in sorted(folders.glob("*/*/*"))]
    asked = [
        cell
        for cell in cells
        if cell.dataset in (options.dataset or [cell.dataset])
        and cell.protocol in (options.protocol or [cell.protocol])
        and cell.system in (options.system or [cell.system])
        and cell.kept
    ]
    if not asked:
        raise DataError(
            f"There are no weights of such folds in {folders}; 'fit --save-folds' keeps them."
        )
    return asked


def look(options: AblateAttentionOptions, cell: Cell, accelerator: Accelerator) -> str:
    """Measure one cell, unless it is done or has nothing to measure, and say what was found."""
    if cell.is_measured:
        return "is measured already."
    kept = cell.kept
    model, config = load_checkpoint(kept[0][2])
    if not ablations(model):
        return "has no attention that could be ablated."
    one = rebuild(cell, config, options.data_root, options.cache, accelerator)
    with one.lock(cell.results_folder):  # a fit would change the predictions meanwhile
        effect = measure(one, kept)
        text = to_json(asdict(effect)) + "\n"
        write_atomically(cell.results_folder / EFFECT, text.encode())
    return describe(effect)


def rebuild(
    cell: Cell,
    config: CheckpointConfig,
    root: Path | None,
    cache: Path,
    accelerator: Accelerator,
) -> Run:
    """Return the run of a cell, for its recordings and how they were split; ``config`` is of any of
    its folds. Raise DataError if its recordings are not here, or it learnt from a teacher."""
    record = results.read_run(cell.results_folder)
    if record is None:
        raise DataError(f"There is no run.json in {cell.results_folder}; it belongs to the folds.")
    seeds = tuple(sorted({seed for seed, _, _ in cell.kept}))
    front_end, ran = config.front_end, record["configuration"]
    with results.trusting(cell.results_folder / RUN):
        teacher, settings = ran["teacher"], dict(ran["settings"])
        outer_fold = OuterFold(**ran["within"]) if "within" in ran else None
        permutation = int(ran["permuted_labels"]) if "permuted_labels" in ran else None
    if teacher is not None:  # it may have named the labels that the folds were made by
        raise DataError("This learnt from a teacher; only what learnt from labels can be rebuilt.")
    of_folders = cell.dataset.startswith(f"{folder.NAME}-") and cell.dataset not in DATASETS
    name = folder.NAME if of_folders else cell.dataset
    data = find_corpus(name, root, cache, front_end)
    clips = data.clips.labelled()  # without a teacher a fit leaves out the rest
    if permutation is not None:
        clips = permute_labels(clips, data.corpus.labels, permutation)
    data, folds = with_folds(replace(data, clips=clips), cell.protocol, ran["folds"])
    experiment = Experiment(
        system=cell.system,
        data=data,
        protocol=cell.protocol,
        preset=replace(usual_preset(cell.system, cell.dataset), front_end=front_end),
        folds=folds,
        accelerator=accelerator,
        settings=settings,
        outer_fold=outer_fold,
        permutation=permutation,
    )
    if experiment.fingerprint != ran.get("data"):
        raise DataError(f"The recordings of {cell.dataset} are not those that this was fitted on.")
    return Run(experiment, seeds, cell.out)


def describe(effect: AttentionEffect) -> str:
    """Put what became of the answers into lines, one for each ablation."""
    seeds = ", ".join(map(str, effect.seeds))
    lines = [f"{effect.recordings} recordings in {effect.groups} groups, seeds {seeds}."]
    for name, found in effect.ablated.items():
        recall = found.metrics["balanced_accuracy"]
        lines.append(
            f"  {name} ablated: balanced accuracy {recall.neutral}, as fitted "
            f"{recall.fitted}, difference {recall.difference}; another answer "
            f"for {found.changed}, distance {found.distance}"
        )
    if effect.differential is not None:
        entropies = effect.differential.entropy_1, effect.differential.entropy_2
        lines.append("  entropy of A1 and A2 over log N: " + ", ".join(map(str, entropies)))
    return "\n".join(lines)
