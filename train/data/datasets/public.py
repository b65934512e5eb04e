"""Read the public corpora: Donate-a-Cry, cleaned and from iOS, ESC-10, and the cries of both.

``donateacry`` has 457 clips of 7 s from users of an app, labelled with reasons. ``donateacry_ios``
has 416 unchecked uploads at 16 kHz; 182 are originals of clips in the former, with the same names.
The first 36 characters of a file name are the app's installation, the closest proxy for a baby in
the corpus. Their case may differ for the same installation.

``esc10`` has 400 clips of 5 s of ten environmental sounds, including baby cries (Piczak 2015). File
names are ``fold-FreesoundID-take.ogg``. Takes of one Freesound sound share their source, and the
corpus's authors keep them in one of five folds.

``cries`` has the iOS uploads and the cries of ESC-10 as unlabelled data for a teacher, because the
parents' reasons are other classes. Clips at 8 kHz lack the band above 4 kHz that the teacher uses.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from train.data.corpus import Archive, ArchiveFolder, Corpus, DataError, Item

DONATEACRY, IOS, ESC10, CRIES = "donateacry", "donateacry_ios", "esc10", "cries"
REASONS = ("belly_pain", "burping", "discomfort", "hungry", "tired")
IOS_REASONS = {
    "bp": "belly_pain", "bu": "burping", "ch": "cold_hot", "dc": "discomfort", "hu": "hungry",
    "lo": "lonely", "sc": "scared", "ti": "tired",
}  # fmt: skip
CRY = "baby_cry"
SOUNDS = (
    "dog_bark", "rain", "sea_waves", CRY, "clock_tick", "person_sneeze", "helicopter", "chainsaw",
    "rooster", "fire_crackling",
)  # fmt: skip
UPLOADS_AT, SOUNDS_AT = "github.com/gveres/donateacry-corpus", "github.com/karolpiczak/ESC-10"
REASONS_LICENCE = f"ODbL 1.0, contents DbCL 1.0 ({UPLOADS_AT})"
SOUNDS_LICENCE = f"CC BY 3.0 and CC0 per clip, see its README ({SOUNDS_AT})"
INSTALLATION = 36  # characters
IOS_SUFFIXES = (".caf", ".flac")  # as distributed upstream, and losslessly re-encoded

ARCHIVED = "/archive/refs/heads/master.zip"
CLEANED, SENT = "donateacry_corpus_cleaned_and_updated_data", "donateacry-ios-upload-bucket"
OF_CLEANED = "e0f34efa8564836c3de7f05093a29be8ccafbd0e4c27c5f5c124a6380181080f"
OF_SOUNDS = "f7ed9b7ee1bc8629352bb5d0a785ad4c364994f26d699e184bcf5be2c46cf819"
DONATEACRY_ARCHIVE = Archive(
    f"https://{UPLOADS_AT}{ARCHIVED}",
    "donateacry-corpus.zip",
    (
        ArchiveFolder(DONATEACRY, CLEANED, "*/*.wav", 457, OF_CLEANED),
        ArchiveFolder(IOS, SENT, "*.caf", 416),
    ),
)
ESC10_ARCHIVE = Archive(
    f"https://{SOUNDS_AT}{ARCHIVED}",
    "esc10.zip",
    (ArchiveFolder(ESC10, "", "* - */*.ogg", 400, OF_SOUNDS),),
)


def corpus_of(
    root: Path, name: str, labels: tuple[str, ...], items: tuple[Item, ...], licence: str, what: str
) -> Corpus:
    """Return a corpus; if there are no items, raise DataError that asks the user for ``what``."""
    if items:
        return Corpus(name, labels, items, licence)
    raise DataError(
        f"There are no recordings in {root / name}. Put {what} there, or name another folder with "
        "--data-root."
    )


def upload(path: Path, label: str | None) -> Item:
    """Return the item of an upload to Donate-a-Cry; its group is the installation."""
    return Item(path, label, path.stem, path.stem, path.name[:INSTALLATION].lower())


def read_donateacry(root: Path) -> Corpus:
    """List the recordings under ``root/donateacry/<label>/*.wav``; raise DataError if none."""
    items = tuple(
        upload(path, label)
        for label in REASONS
        for path in sorted((root / DONATEACRY / label).glob("*.wav"))
    )
    what = f"the five folders of Donate-a-Cry's '{CLEANED}' ({UPLOADS_AT})"
    return corpus_of(root, DONATEACRY, REASONS, items, REASONS_LICENCE, what)


def read_ios(root: Path) -> Corpus:
    """List the recordings under ``root/donateacry_ios``, caf or flac; raise DataError if none.

    The last two letters of a name are its label. Codes not in :data:`IOS_REASONS`, such as "dk" for
    "don't know", leave it unlabelled.
    """
    files = (path for path in (root / IOS).glob("*") if path.suffix.lower() in IOS_SUFFIXES)
    paths = sorted({path.stem: path for path in files}.values())
    items = tuple(upload(path, IOS_REASONS.get(path.stem[-2:].lower())) for path in paths)
    what = f"the files of Donate-a-Cry's '{SENT}' ({UPLOADS_AT})"
    return corpus_of(root, IOS, tuple(IOS_REASONS.values()), items, REASONS_LICENCE, what)


def read_esc10(root: Path) -> Corpus:
    """List ``root/esc10/NNN - Class/*.ogg``; raise DataError if there are none or names differ."""
    folders = {
        path.name[6:].lower().replace(" ", "_"): path for path in (root / ESC10).glob("* - *")
    }
    items = tuple(
        _sound(path, label)
        for label in SOUNDS
        if label in folders
        for path in sorted(folders[label].glob("*.ogg"))
    )
    what = f"the ten folders of ESC-10 ('001 - Dog bark' to '010 - Fire crackling'; {SOUNDS_AT})"
    return corpus_of(root, ESC10, SOUNDS, items, SOUNDS_LICENCE, what)


def _sound(path: Path, label: str) -> Item:
    fold, _, rest = path.stem.partition("-")
    source, _, take = rest.partition("-")
    if not (fold.isdigit() and int(fold) and source.isdigit() and take):
        raise DataError(
            f"{path} is not named like ESC-10's clips (fold-FreesoundID-take.ogg, for instance "
            "1-100032-A.ogg); rename or remove it."
        )
    return Item(path, label, path.stem, source, source, int(fold) - 1)


def read_cries(root: Path) -> Corpus:
    """List the iOS uploads and ESC-10's cries, unlabelled; raise DataError if one is missing."""
    uploads, sounds = read_ios(root), read_esc10(root)
    items = (*uploads.items, *(item for item in sounds.items if item.label == CRY))
    nameless = tuple(replace(item, label=None, fold=None) for item in items)
    return Corpus(CRIES, (), nameless, f"{uploads.licence}; {sounds.licence}")
