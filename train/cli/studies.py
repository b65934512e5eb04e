"""``python -m train train-detector``, ``check-labels`` and ``check-personal``."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated

import typer

from cry_model.sound.audio import Recording
from cry_model.sound.frontend import FrontEnd
from train.cli.options import LARGEST, Checkpoint, CorpusOptions, Seeds, Settings, one_of, option
from train.cli.plan import require_settings
from train.data.cache import describe as describe_corpus
from train.data.cache import find_corpus
from train.data.corpus import DataError, Item
from train.data.datasets import challenge6, detector
from train.data.tagger import NAME as tagger_name
from train.data.tagger import Tagger, tag
from train.fit.detector import find_examples, require_steps
from train.fit.devices import make_accelerator
from train.fit.presets import DETECTOR, DETECTOR_SETTINGS, apply_overrides
from train.fit.run import Experiment, Run
from train.scoring.detector import describe
from train.studies.detector import run_check
from train.studies.label_check import LEAVE_OUT, PROBABLE, check_labels
from train.studies.personal import run_study

SYSTEM = "resnet18"


@dataclass(frozen=True, kw_only=True)
class TrainDetectorOptions(CorpusOptions):
    """Fit and measure the detector that tells a baby's cry from other sounds.

    It is measured on folds that it did not hear, on cries that are higher, shorter or under other
    sounds, and on kinds of sound that it was fitted without; YAMNet (the folder yamnet of the data)
    is its teacher. What is already in --out is not fitted again.
    """

    seed: Annotated[
        int, option("of weights and random pieces", min=0, max=LARGEST, metavar="SEED")
    ] = 0
    epochs: Annotated[int, option("of each fit", min=1)] = DETECTOR.epochs
    set: Settings = ()
    leave_out: Annotated[bool, option("fit it without each kind of sound in turn, too")] = True
    checkpoint: Checkpoint = True
    out: Annotated[Path, option("results and states go here")] = Path("runs")


def run_train_detector(options: TrainDetectorOptions) -> None:
    """Fit, measure, and save the detector."""
    root, changes = options.root(), [f"epochs={options.epochs}", *options.set]
    preset, changed = apply_overrides(DETECTOR, changes)
    settings = {**DETECTOR_SETTINGS, **changed}
    require_settings(SYSTEM, preset, changed, settings)
    require_steps(preset)
    if not root.is_dir():
        raise DataError(f"There is no folder {root}; give another --data-root.")
    tagger = Tagger(root / tagger_name)
    data = find_corpus(detector.NAME, root, options.cache, preset.front_end)
    print(describe_corpus(data))
    accelerator = make_accelerator("cpu", precision="bfloat16")
    what = SYSTEM, data, "baby", preset, detector.FOLDS, accelerator, settings
    experiment = Experiment(*what)
    one = Run(experiment, (options.seed,), options.out, checkpoint=options.checkpoint)
    front_end = FrontEnd(preset.front_end).eval()
    files = {item.recording: item for item in detector.read(root).items}

    def load(item: Item) -> Recording:
        return detector.load(files[item.recording])  # a prepared file does not say where they lie

    tags = tag(data.clips, front_end, load, tagger, options.cache)
    how = front_end, preset.augmentation, options.seed, options.cache
    examples = find_examples(data.clips, tags, *how)
    there = (root / challenge6.CUTS).exists()
    external = challenge6.read_cuts(root).items if there else ()
    found = run_check(one, examples, tagger, load, options.leave_out, external)
    print(describe(found), f"Results in {one.results_folder}.", sep="\n")


@dataclass(frozen=True, kw_only=True)
class CheckLabelsOptions(CorpusOptions):
    """Check the feature MLP and its student against the labels of the cuts of the paper's corpus.

    Each fold is answered by a feature MLP fitted without the recordings of the tested cuts, by the
    student with that one's classifier, by the student adapted to the other folds, and by that one
    with a partner that was fitted to them. Results go to OUT/results/challenge6_cuts/checked.
    """

    teacher: Annotated[Path, option("checkpoint of the feature MLP")]
    results: Annotated[Path, option("its results under 'recording', for its calibration")]
    student: Annotated[Path | None, option("checkpoint of its student")] = None
    partners: Annotated[
        Path | None, option("where 'fit --save-folds' put its partners, an ECAPA-TDNN a fold")
    ] = None
    leave_out: Annotated[
        str, option("recordings that a fold must not know", parser=one_of(LEAVE_OUT))
    ] = PROBABLE
    save: Annotated[
        Path | None, option("write the last of them there, if it is better", metavar="FOLDER")
    ] = None
    folds: Annotated[int, option("of the cuts", min=2)] = 5
    seeds: Seeds = (0, 1, 2)
    out: Annotated[Path, option("folder of results")] = Path("runs")


def run_check_labels(options: CheckLabelsOptions) -> None:
    """Check, write both files for each model, and print the numbers."""
    names = [one.name for one in fields(options) if one.name != "data_root"]
    check_labels(options.root(), **{name: getattr(options, name) for name in names})


@dataclass(frozen=True, kw_only=True)
class CheckPersonalOptions(CorpusOptions):
    """Measure how soon a model of one baby knows more than chance, and how often it is mistaken.

    On simulated parents, on synthetic babies, and on the installations of Donate-a-Cry that have
    several recordings and reasons. Results go to OUT/results/personal.
    """

    checkpoint: Annotated[Path, typer.Argument(help="folder of the model whose embeddings it uses")]
    parents: Annotated[int, option("simulated with nothing to find", min=8)] = 400
    out: Annotated[Path, option("folder of results")] = Path("runs")


def run_check_personal(options: CheckPersonalOptions) -> None:
    """Check, and print a line for each part."""
    found = run_study(options.checkpoint, options.root(), options.out, options.parents)
    for one in found["false_alarms"]:
        count, of = (one["better"][name] for name in ("count", "of"))
        print(f"{count} of {of} parents told better in {one['nights']} nights of none.")
    for one in found["power"]:
        needed = one["cries_for_80_percent"] or "more than there are"
        print(f"d = {one['effect']}, {one['labels_correct']:.0%} right: {needed} cries.")
    print(f"Donate-a-Cry: {found['donateacry']['pooled']}")
