"""Teacher, student and baseline on the held-out test set: quality with intervals, speed on equal terms, size.

Every system is measured as text in, text out, tokenisation included, on the same sentences and threads; loading a
model is not counted. Each uses the beam it is used with, and teacher and student also the other's beam.
"""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from data.errors import DataError
from data.language_tags import Direction
from data.local import write_atomically
from data.model_folder import load_teacher_info
from data.runtime import Runtime
from data.store import Artifact
from data.teachers import GIVEN as GIVEN_TEXTS
from data.teachers import node_of, teacher_nodes
from stages.beam_search.config import Config as Decoding
from stages.evaluate import attribution
from stages.evaluate.closer import HeldOutRows, Options, look_closer
from stages.evaluate.comet import Config as Comet
from stages.evaluate.comet import identity as comet_identity
from stages.evaluate.described import compared_pairs, describe, describe_given, ratios
from stages.evaluate.forced import Config as Forced
from stages.evaluate.forced import ForcedModel
from stages.evaluate.given import GivenSystem, put_together, read_given
from stages.evaluate.hallucinations import Config as Hallucinations
from stages.evaluate.machine import describe_machine
from stages.evaluate.noise import Config as Noise
from stages.evaluate.noise import look_at_noise
from stages.evaluate.pairs import Candidate, learned_all, score_pairs, told_apart, translate_apart
from stages.evaluate.quality import Scoring, compare_systems, score_systems
from stages.evaluate.speed import Timing, time_systems
from stages.evaluate.systems import Sentences, System, load_system
from stages.evaluate.test_sets import GIVEN, describe_test_set, named_sets, score_test_sets, test_rows
from stages.languages.directions import directions_of
from stages.loaded_model.translate import BATCH_TOKENS

VERSION = "9"
LIBRARIES = ("ctranslate2", "sacrebleu", "sentencepiece", "lingua-language-detector", "rapidfuzz")
COMPARED = ("teacher", "export", "export_baseline")
INPUTS = ("corpus", "tokenizer", "decode", *COMPARED)

TRANSLATIONS = "translations-00000"
# Of pairs that one of teacher, student and baseline was never trained on.
OTHER_PAIRS = "other-pairs-00000"
METRICS, FLAGGED = "metrics.json", "flagged.jsonl"


class Config(BaseModel):
    """How the systems are compared."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    teacher_beam: int = Field(5, ge=1, le=64, description="beam of the teacher")
    student_beam: int = Field(1, ge=1, le=64, description="beam of student and baseline; 1 is greedy")
    batch_tokens: int = Field(BATCH_TOKENS, ge=64, description="source subwords in a batch, the same for every system")
    threads: int | None = Field(
        None, ge=1, le=1024, description="CPU threads of every system; by default all there are"
    )
    repeats: int = Field(5, ge=1, le=100, description="timed runs of each system, taken in turn; the median counts")
    timed_sentences: int = Field(1000, ge=1, description="test sentences in a timed run, at most")
    bootstrap_samples: int = Field(1000, ge=100, le=100_000, description="resamples for intervals and p-values")
    seed: int = Field(12345, ge=1, le=2**32 - 1, description="seed of the bootstrap; sacrebleu's default")
    bleu_tokenizer: str = Field(
        "auto",
        description="sacrebleu's tokenisation for BLEU and word F1; auto takes the language's, or 13a for several that "
        "differ",
    )
    forced: Forced = Field(default_factory=Forced, description="teacher-forced figures")
    hallucinations: Hallucinations = Field(
        default_factory=Hallucinations, description="counts of translations that look wrong"
    )
    comet: Comet = Field(default_factory=Comet, description="a learned metric, where it is at hand")
    noise: Noise = Field(default_factory=Noise, description="the test set with the corpus's kinds of noise")
    # Off by default: the teacher searches the whole test set once more, for n-best lists, as a second copy in memory.
    attribution: bool = Field(
        False,
        description="tell where quality goes: teacher, selected hypotheses, student in float32, student as it ships; "
        "takes as long as one more run of the teacher",
    )


def external_identities(config: Config) -> dict[str, str]:
    """Of what COMET needs, where it is asked for."""
    return comet_identity(config.comet) if config.comet.model else {}


def inputs(config: Config) -> tuple[str, ...]:
    """The nodes that are read: those that tell how targets were chosen, and the checkpoint, for an attribution only."""
    return tuple(dict.fromkeys((*INPUTS, *attribution.INPUTS))) if config.attribution else INPUTS


def reads_only(config: Config) -> dict[str, dict[str, tuple[str, ...]]]:
    """Of translations that are given those of the test rows."""
    return {GIVEN_TEXTS: {"test": ("texts",)}}


def run(inputs: Mapping[str, Artifact], config: Config, output: Artifact, runtime: Runtime) -> dict[str, Any]:
    """Compare the systems; keeps every translation in the shard `translations-00000`, and `metrics.json`.

    Systems are compared on the language pairs that all of them learned; `pairs` has each pair alone, and the others, of
    those systems that can be asked for it. A teacher that is given has no speed and no size, and no scores where it
    lacks a row; `given_teachers` says how many it has. Metrics: systems, ratios, comparisons, test, machine, settings,
    pairs, test_sets, noise, attribution, and those of `look_closer`, whose flagged translations go to `flagged.jsonl`.
    Raises DataError when no test row has a reference, ModelError when a folder holds no model.
    """
    threads = config.threads or runtime.threads
    everything, without_reference = test_rows(inputs["corpus"])
    rows, apart = _told_apart(everything, inputs)
    languages = {language for direction in directions_of(everything) for language in direction}
    config = config.model_copy(update={"hallucinations": config.hallucinations.among(languages)})
    systems = _load_systems(inputs, config, threads, runtime.device, set(directions_of(rows)))
    given = read_given(inputs)
    translated = put_together(given, rows, _translate(systems, Sentences.of(rows), config, runtime))
    between = _between(inputs, rows, config, replace(runtime, threads=threads)) if config.attribution else {}
    output.write_shard(TRANSLATIONS, _translations(rows, translated | between))
    timings = _time(systems, _timed_sources(rows, config), config, runtime)
    scoring = _scoring(config, rows)
    about = {name: describe(system, timings[name]) for name, system in systems.items()}
    about |= {one.system: describe_given(one) for one in given if one.system in translated}
    metrics = _compare(about, translated, rows["reference"].to_pylist(), scoring) | {
        "test": describe_test_set(rows, without_reference, config.timed_sentences),
        "machine": describe_machine(runtime.device),
        "settings": config.model_dump()
        | {"threads": threads, "device": runtime.device, "bleu_tokenizer": scoring.tokenizer},
    }
    metrics |= {"given_teachers": {one.system: one.described(rows) for one in given}} if given else {}
    baseline_apart = "baseline" not in systems and "export_baseline" in inputs
    if apart.num_rows or len(set(directions_of(rows))) > 1 or baseline_apart:
        models = _by_role(inputs, systems, apart, config, (threads, runtime.device))
        models = _with_given(models, given, everything)
        metrics["pairs"] = _pair_by_pair(rows, apart, translated, models, scoring, config, output)
    by_language = config.bleu_tokenizer == "auto"
    names = named_sets(inputs["corpus"])
    if sets := score_test_sets(names, rows, translated, scoring, tokenizer_by_language=by_language):
        metrics["test_sets"] = sets
    own = {name: system for name, system in systems.items() if name == system.role}
    metrics |= look_at_noise(inputs["corpus"], rows, translated, own, config, scoring, output)
    closer, flagged = _look_closer(rows, translated, systems, config, scoring, (threads, runtime.device))
    metrics |= closer
    if config.attribution:
        references = rows["reference"].to_pylist()
        steps = attribution.attribute_gap(translated | between, references, metrics["systems"], scoring)
        metrics["attribution"] = {**attribution.describe_choice(inputs), "steps": steps}
    write_atomically(output.work_path() / FLAGGED, "".join(f"{json.dumps(flag)}\n" for flag in flagged).encode())
    write_atomically(output.work_path() / METRICS, json.dumps(metrics, indent=1).encode())
    return metrics


def _compare(
    about: Mapping[str, Mapping[str, Any]],
    translated: Mapping[str, Sequence[str]],
    references: Sequence[str],
    scoring: Scoring,
) -> dict[str, Any]:
    scores = score_systems(translated, references, scoring)
    described = {name: {**about[name], **scores[name]} for name in translated}
    comparisons = compare_systems(translated, references, compared_pairs(translated), scoring)
    return {"systems": described, "ratios": ratios(described), "comparisons": comparisons}


def _look_closer(
    rows: pa.Table,
    translated: Mapping[str, Sequence[str]],
    systems: Mapping[str, System],
    config: Config,
    scoring: Scoring,
    machine: tuple[int, str],
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    held_out = HeldOutRows(*(rows[name].to_pylist() for name in GIVEN))
    own = [system for name, system in systems.items() if name == system.role]
    models = {system.role: ForcedModel(system.translator, system.vocabulary()) for system in own}
    options = Options(config.forced, config.hallucinations, config.comet)
    return look_closer(held_out, translated, models, options, scoring, machine)


def _told_apart(rows: pa.Table, inputs: Mapping[str, Artifact]) -> tuple[pa.Table, pa.Table]:
    """Rows of the language pairs that all systems learned, on which they are compared, and the others.

    The baseline has no part in it where it learned none of those that teacher and student have.
    """
    infos = [load_teacher_info(inputs[node].path()) for node in COMPARED if node in inputs]
    common, apart = told_apart(rows, infos)
    if not common.num_rows:
        common, apart = told_apart(rows, infos[:2])
    if not common.num_rows:
        raise DataError(
            f"{inputs['corpus'].url}: no test row with a reference is of a language pair that both the teacher and the "
            "student are for, so there is nothing to compare them on; hold out more of the corpus"
        )
    return common, apart


def _by_role(
    inputs: Mapping[str, Artifact],
    systems: Mapping[str, System],
    apart: pa.Table,
    config: Config,
    machine: tuple[int, str],
) -> dict[str, list[Candidate]]:
    """Teacher, student and baseline, as they are asked for each pair; of several teachers those that are needed."""
    pairs = {str(direction) for direction in directions_of(apart)}
    found = {role: [systems[role]] for role in ("teacher", "student", "baseline") if role in systems}
    found.setdefault("teacher", [])
    if "baseline" not in found and "export_baseline" in inputs:
        folder = inputs["export_baseline"].path()
        found["baseline"] = [load_system("baseline", folder, folder, config.student_beam, *machine)]
    for name, node in list(teacher_nodes(inputs).items())[1:]:
        info = load_teacher_info(inputs[node].path())
        if not info.is_given and any(info.translates(pair) for pair in pairs):
            own = node_of("tokenizer", name)
            tokenizer = inputs[own if own in inputs else "tokenizer"].path()
            system = load_system("teacher", inputs[node].path(), tokenizer, config.teacher_beam, *machine)
            found["teacher"].append(system.searching(_decoding(inputs)))

    def asked(system: System) -> Candidate:
        return Candidate(
            system.translator.info,
            lambda lines, directions: system.translate(Sentences(lines, directions), config.batch_tokens)[0],
        )

    return {role: [asked(system) for system in each] for role, each in found.items()}


def _with_given(
    models: Mapping[str, Sequence[Candidate]], given: Sequence[GivenSystem], rows: pa.Table
) -> dict[str, list[Candidate]]:
    """With what was given of these rows, the first teacher's first; without a role that nobody has."""
    own = {one.name: found for one in given if (found := one.candidate(rows))}
    first = [found for name, found in own.items() if not name]
    teachers = [*first, *models["teacher"], *(found for name, found in own.items() if name)]
    others = {role: list(each) for role, each in models.items() if role != "teacher"}
    return {**({"teacher": teachers} if teachers else {}), **others}


def _pair_by_pair(
    rows: pa.Table,
    apart: pa.Table,
    translated: Mapping[str, Sequence[str]],
    models: Mapping[str, Sequence[Candidate]],
    scoring: Scoring,
    config: Config,
    output: Artifact,
) -> list[dict[str, Any]]:
    others = translate_apart(apart, models)
    if apart.num_rows:
        columns = [pa.array(lines, pa.string()) for lines in others.values()]
        kept = apart.select(GIVEN)
        for name, column in zip(others, columns, strict=True):
            kept = kept.append_column(name, column)
        output.write_shard(OTHER_PAIRS, kept.combine_chunks())
    # A baseline that learned none of the rows' pairs may still be asked for them, and was not yet.
    left = translate_apart(rows, {role: each for role, each in models.items() if role not in translated})
    together = {role: [*{**left, **translated}[role], *others[role]] for role in models}
    by_language = config.bleu_tokenizer == "auto"
    everything, wrong = pa.concat_tables([rows, apart]), config.hallucinations
    return score_pairs(everything, together, models, scoring, wrong, tokenizer_by_language=by_language)


def _timed_sources(rows: pa.Table, config: Config) -> Sentences:
    # Ids are hashes, so the first by id are a random sample that does not change from run to run.
    return Sentences.of(rows.sort_by("id").slice(0, config.timed_sentences))


def _decoding(inputs: Mapping[str, Artifact]) -> Decoding:
    """How the recipe has its teachers search."""
    config = inputs["decode"].manifest().config if "decode" in inputs else {}
    # That of a teacher that is given has no options.
    return Decoding.model_validate(config) if config else Decoding()


def _load_systems(
    inputs: Mapping[str, Artifact], config: Config, threads: int, device: str, directions: Collection[Direction]
) -> dict[str, System]:
    """All systems by name; baseline and further teachers are among them where they learned all these directions."""
    decoding = _decoding(inputs)

    def load(role: str, node: str, tokenizer_node: str, beam: int) -> System:
        found = load_system(role, inputs[node].path(), inputs[tokenizer_node].path(), beam, threads, device)
        return found.searching(decoding) if role == "teacher" else found

    def learned(node: str) -> bool:
        return learned_all(load_teacher_info(inputs[node].path()), directions)

    def asked(node: str) -> bool:
        return not load_teacher_info(inputs[node].path()).is_given

    systems = {"teacher": load("teacher", "teacher", "tokenizer", config.teacher_beam)} if asked("teacher") else {}
    systems["student"] = load("student", "export", "export", config.student_beam)
    if "export_baseline" in inputs and learned("export_baseline"):
        systems["baseline"] = load("baseline", "export_baseline", "export_baseline", config.student_beam)
    if config.teacher_beam != config.student_beam:
        beams = {"teacher": config.student_beam, "student": config.teacher_beam}
        for role, beam in ((role, beams[role]) for role in beams if role in systems):
            systems[f"{role}_beam{beam}"] = replace(systems[role], beam=beam)
    for name, node in list(teacher_nodes(inputs).items())[1:]:
        if asked(node) and learned(node):
            own = node_of("tokenizer", name)
            found = load("teacher", node, own if own in inputs else "tokenizer", config.teacher_beam)
            systems[node] = replace(found, name=name)
    return systems


def _translations(rows: pa.Table, translated: Mapping[str, Sequence[str]]) -> pa.Table:
    table = rows.select(GIVEN)
    for name, lines in translated.items():
        table = table.append_column(pa.field(name, pa.string(), nullable=False), pa.array(lines, pa.string()))
    return table.combine_chunks()


def _translate(
    systems: Mapping[str, System], sources: Sentences, config: Config, runtime: Runtime
) -> dict[str, list[str]]:
    translated: dict[str, list[str]] = {}
    for name, system in systems.items():
        translated[name] = system.translate(sources, config.batch_tokens)[0]
        runtime.progress(len(translated), _calls(systems, config), {})
    return translated


def _between(inputs: Mapping[str, Artifact], rows: pa.Table, config: Config, runtime: Runtime) -> dict[str, list[str]]:
    """Translations of the attribution's steps between teacher and student."""
    sources, references = Sentences.of(rows), rows["reference"].to_pylist()
    found: dict[str, list[str]] = {}
    chosen = attribution.selected_hypotheses(
        inputs, sources.lines, references, config.batch_tokens, runtime, sources.directions
    )
    if chosen is not None:
        found["selected"] = chosen
    exported = inputs["export"].path()
    with attribution.float32_folder(inputs["student"], exported) as folder:
        exact = load_system("student", folder, exported, config.student_beam, runtime.threads, runtime.device)
        found["student_float32"] = exact.translate(sources, config.batch_tokens)[0]
    return found


def _time(systems: Mapping[str, System], sources: Sentences, config: Config, runtime: Runtime) -> dict[str, Timing]:
    def timed(system: System) -> Callable[[], int]:
        return lambda: system.translate(sources, config.batch_tokens)[1]

    return time_systems(
        {name: timed(system) for name, system in systems.items()},
        sentences=len(sources.lines),
        repeats=config.repeats,
        done=lambda finished: runtime.progress(len(systems) + finished, _calls(systems, config), {}),
    )


def _calls(systems: Mapping[str, System], config: Config) -> int:
    """For progress: each system translates all rows once, and the timed ones for warm-up and in every repeat."""
    return len(systems) * (config.repeats + 2)


def _scoring(config: Config, rows: pa.Table) -> Scoring:
    by_language = config.bleu_tokenizer == "auto"
    asked = Scoring("13a" if by_language else config.bleu_tokenizer, config.bootstrap_samples, config.seed)
    return asked.of_languages(rows["target_language"].unique().to_pylist(), tokenizer_by_language=by_language)
