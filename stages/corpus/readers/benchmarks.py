"""Published test sets by their names in sacreBLEU, out of its cache or a folder laid out alike."""

import copy
import difflib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from data.errors import DataError
from stages.corpus.readers.rows import RawRow
from stages.corpus.readers.sources import SacrebleuSource
from stages.corpus.readers.text import read_parallel

_SHOWN_PAIRS = 30


def read_benchmark(source: SacrebleuSource, languages: tuple[str, str], longest: int) -> Iterator[RawRow]:
    """Rows in the order of the test set, with its first reference; raises DataError when it is not there."""
    dataset, pair = _dataset(source, languages)
    place = f"{source.test_set}/{pair}"
    texts = _texts(source, dataset, pair)
    if texts is not None:
        yield from read_parallel(str(texts[0]), str(texts[1]), place, longest, anything=True)
        return
    if not source.download and (missing := _missing(source, dataset, pair)):
        raise DataError(missing)
    with tempfile.TemporaryDirectory() as scratch:
        # What sacreBLEU makes of the published files goes there: a folder of inputs is only read.
        made = copy.copy(dataset)
        made._outdir, made._rawdir = scratch, str(_raw(source))
        if not source.download:
            made.maybe_download = lambda: None
        try:
            files = [made.get_source_file(pair), *made.get_reference_files(pair)]
        except (Exception, SystemExit) as error:  # sacreBLEU ends the process where a download fails
            raise DataError(f"{source.test_set} {pair}: sacreBLEU cannot make it: {error or 'see above'}") from error
        yield from read_parallel(files[0], files[1], place, longest, anything=True)


def benchmark_files(source: SacrebleuSource, languages: tuple[str, str]) -> list[Path]:
    """Local files on which the rows hang; none where sacreBLEU may fetch them, which checks what it gets."""
    dataset, pair = _dataset(source, languages)
    if source.download:
        return []
    return _texts(source, dataset, pair) or _published(source, dataset, pair)


def missing_benchmark(source: SacrebleuSource, languages: tuple[str, str]) -> str | None:
    """Why the test set cannot be read, as far as its names tell."""
    try:
        dataset, pair = _dataset(source, languages)
    except DataError as error:
        return str(error)
    return None if source.download or _texts(source, dataset, pair) else _missing(source, dataset, pair)


def _dataset(source: SacrebleuSource, languages: tuple[str, str]) -> tuple[Any, str]:
    """sacreBLEU's entry and its name for the language pair, in which regions and scripts are left out."""
    from sacrebleu.dataset import DATASETS

    if source.test_set not in DATASETS:
        near = ", ".join(difflib.get_close_matches(source.test_set, DATASETS, n=3))
        raise DataError(f"{source.test_set} is no test set of sacreBLEU; did you mean {near or 'one of --list'}?")
    dataset = DATASETS[source.test_set]
    candidates = ["-".join(languages), "-".join(language.split("-")[0] for language in languages)]
    pair = next((pair for pair in candidates if pair in dataset.langpairs), None)
    if pair is None:
        known = ", ".join(sorted(dataset.langpairs)[:_SHOWN_PAIRS])
        raise DataError(f"{source.test_set} has no pair {candidates[0]}; sacreBLEU has it for {known}")
    return dataset, pair


def _folder(source: SacrebleuSource) -> Path:
    cache = os.environ.get("SACREBLEU") or str(Path.home() / ".sacrebleu")
    return Path(source.folder or cache) / source.test_set


def _raw(source: SacrebleuSource) -> Path:
    return _folder(source) / "raw"


def _texts(source: SacrebleuSource, dataset: Any, pair: str) -> list[Path] | None:
    """The source and the first reference as sacreBLEU keeps them, a line each; None where one of them is not there."""
    stem = f"{source.test_set.replace('/', '_')}.{pair}."
    allowed = dataset.langpairs[pair]
    named = (allowed.get("refs") if isinstance(allowed, dict) else None) or dataset.kwargs.get("refs") or []
    references = [f"ref-{name}" if name else "ref" for name in named] or ["ref", "ref-0"]
    files = [_folder(source) / f"{stem}{name}" for name in ("src", *references)]
    there = [path for path in files if path.is_file() and path.stat().st_size]
    return there[:2] if len(there) > 1 and there[0] == files[0] else None


def _published(source: SacrebleuSource, dataset: Any, pair: str) -> list[Path]:
    """The files of which sacreBLEU makes lines, as far as they are there."""
    entry = dataset.langpairs[pair]
    names = [entry["path"]] if isinstance(entry, dict) else entry
    files = [_raw(source) / name.rpartition(":")[2] for name in names]
    return [path for path in dict.fromkeys(files) if path.is_file()]


def _missing(source: SacrebleuSource, dataset: Any, pair: str) -> str | None:
    if _published(source, dataset, pair):
        return None
    return (
        f"{source.test_set} {pair} is not in {_folder(source)}; nothing is fetched unless download = true, or run "
        f"`sacrebleu -t {source.test_set} -l {pair} --echo src` where there is a network"
    )
