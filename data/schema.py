"""The Arrow schema of every artefact. `docs/contract.md` follows one sentence pair through all of them.

A stage's table holds `id` and the columns that this stage adds; tables of one shard hold the same
ids in the same order and are joined column by column (`data.join`). Each field's comment is kept in
the Parquet file as its `comment` metadata, so a reader without this file still learns its meaning.
"""

import pyarrow as pa

# Schema metadata in which a shard stage may note, as JSON, what its `count` shall tell the runner of how it went;
# it is not written.
NOTES_KEY = b"potstill.notes"


def _field(name: str, kind: pa.DataType, comment: str, *, nullable: bool = False) -> pa.Field:
    return pa.field(name, kind, nullable=nullable, metadata={"comment": comment})


ID = _field("id", pa.string(), "BLAKE2b of languages and source, 32 hex digits; names the row in every artefact")

# corpus: what there is to translate.
PAIRS = pa.schema(
    [
        ID,
        _field(
            "source",
            pa.string(),
            "source text, as the teacher translates it; NFC, whitespace folded; placeholders kept",
        ),
        _field("reference", pa.string(), "human translation; null where the source is monolingual", nullable=True),
        _field("source_language", pa.string(), "BCP-47 tag of the source"),
        _field("target_language", pa.string(), "BCP-47 tag of the target"),
        _field("origin", pa.string(), "name of the recipe's corpus source this row was read from"),
        _field("location", pa.string(), "where in that source: file and line, row or key"),
        _field("split", pa.string(), "train, valid or test; decided by the hash of the folded source"),
        # Of [corpus.noise], all null without it.
        _field("noise", pa.string(), "kind of noise with which the source was written anew", nullable=True),
        _field(
            "student_source",
            pa.string(),
            "what the student reads in place of source, where noise is for it alone",
            nullable=True,
        ),
        _field(
            "clean_source",
            pa.string(),
            "source as it was, of which id and split are, where the teacher reads noise, too",
            nullable=True,
        ),
        _field("clean_reference", pa.string(), "reference as it was, where it followed such a source", nullable=True),
    ]
)

# corpus: what was not taken, and why. Has no id: a line that is not text has no source to hash.
REJECTS = pa.schema(
    [
        _field("origin", pa.string(), "name of the recipe's corpus source"),
        _field("location", pa.string(), "where in that source: file and line, row or key"),
        _field(
            "source", pa.string(), "source text as far as it could be read, at most 1,000 characters", nullable=True
        ),
        _field("reference", pa.string(), "reference text, likewise", nullable=True),
        _field("reason", pa.string(), "why it was not taken: one of the reasons in stages/corpus/readers/rows.py"),
    ]
)

# Of the one hypothesis, without tokens, of a source that a teacher was not asked to translate.
UNTRANSLATED_SCORE = -1.0e4

LOG_PROB = pa.struct(
    [
        _field("token", pa.string(), "a subword, or </s>"),
        _field("log_prob", pa.float32(), "its natural log-probability over the full vocabulary, at temperature 1"),
    ]
)

# given: translations that were made elsewhere, by the rows of the corpus; four lists of the same length.
GIVEN = pa.schema(
    [
        ID,
        _field(
            "texts",
            pa.list_(pa.string()),
            "translations, each once, NFC and whitespace folded; the best score first where all have one, else as "
            "the file has them; none where it has none",
        ),
        _field("scores", pa.list_(pa.float32()), "their scores, each null where it was given without one"),
        _field(
            "tokens", pa.list_(pa.list_(pa.string())), "their subwords without </s>, each null where none were given"
        ),
        _field(
            "log_probs",
            pa.list_(pa.list_(pa.list_(LOG_PROB))),
            "of each of their T positions the most probable entries, </s> included; null where none were given",
        ),
    ]
)

HYPOTHESIS = pa.struct(
    [
        _field(
            "tokens",
            pa.list_(pa.string()),
            "subwords as the teacher made them, without </s>; length T - 1; of a text that was given as [tokenizer] "
            "splits it, <unk> for what it does not know",
        ),
        _field("text", pa.string(), "the tokens, detokenised; of a teacher that is given what it gave"),
        _field(
            "score",
            pa.float32(),
            "sum of natural log-probabilities, </s> included, over T ** length_penalty; of a teacher that is given "
            "what it gave, null for nothing",
            nullable=True,
        ),
        _field(
            "teacher", pa.string(), "name of the teacher that made it: teacher, or that of its section [teachers.*]"
        ),
    ]
)

# decode: all that the teacher's beam search returned; pool: the same of several teachers.
NBEST = pa.schema(
    [ID, _field("hypotheses", pa.list_(HYPOTHESIS), "n-best, of each teacher the best score first; never empty")]
)

# select: which hypothesis is the training target.
SELECTED = pa.schema(
    [
        ID,
        _field(
            "index",
            pa.int32(),
            "position of the chosen hypothesis in the n-best, from 0; null where the reference is the target",
            nullable=True,
        ),
        _field("target", pa.string(), "text of the chosen hypothesis, or the reference where `metric` says so"),
        _field("target_tokens", pa.list_(pa.string()), "its subwords, without </s>; length T - 1"),
        _field(
            "teacher_score",
            pa.float32(),
            "its score, as in hypotheses.score; null for a reference, or where none was given",
            nullable=True,
        ),
        _field("teacher", pa.string(), "who made it, as in hypotheses.teacher; null for a reference", nullable=True),
        _field("utility", pa.list_(pa.float32()), "what each hypothesis was worth under `metric`; one a hypothesis"),
        _field(
            "metric",
            pa.string(),
            "score, chrf, bleu, mbr-chrf or column:NAME: what `utility` holds, negative where less of a column is "
            "better, and the choice followed; order: the first one, as a score was asked for and none given; "
            "reference: the target is the reference, and `utility` is chrF to it",
        ),
    ]
)

# score: soft targets. Binary columns are packed, little-endian, row-major; see data/soft_targets.py. What is said of
# their bytes holds for the exact encoding; the compact one (data/compact.py) keeps the same facts in bytes of its own.
# Of the modes each has its own columns, and nulls in the others'. E is the number of distinct entries of a row.
SOFT_TARGETS = pa.schema(
    [
        ID,
        _field("length", pa.int32(), "T: target positions, </s> included"),
        _field(
            "conditioning",
            pa.string(),
            "what was forced as the target prefix: hypothesis or reference; none: nothing, the teacher has too few "
            "positions for the row; unknown: the teacher is given, and told nothing of the target's tokens",
        ),
        _field(
            "topk_ids",
            pa.binary(),
            "[T, K] u16 or u32: vocabulary ids, most probable first; compact: u8, low bytes of their gaps",
            nullable=True,
        ),
        _field("topk_ids_high", pa.binary(), "compact: [T, K] u8 or u16, the gaps above 255; else null", nullable=True),
        _field(
            "topk_log_probs",
            pa.binary(),
            "[T, K] f16: natural log-probability over the full vocabulary, at temperature 1; compact: u8",
            nullable=True,
        ),
        _field(
            "tail_log_mass",
            pa.binary(),
            "[T] f16: log of the summed probability of all entries not kept; compact: u8",
            nullable=True,
        ),
        _field(
            "tempered_tail_log_mass",
            pa.binary(),
            "[T, M] f16: the same in the full distribution at each of M other temperatures; compact: u8",
            nullable=True,
        ),
        _field("drawn_entries", pa.binary(), "sampled: [T] u8 or u16, distinct ids drawn at a position", nullable=True),
        _field(
            "drawn_ids",
            pa.binary(),
            "sampled: [E] u16 or u32, the ids, rising; compact: u8, low bytes of their gaps",
            nullable=True,
        ),
        _field("drawn_ids_high", pa.binary(), "compact: [E] u8 or u16, the gaps above 255; else null", nullable=True),
        _field("drawn_counts", pa.binary(), "sampled: [E] u8 or u16, how often each id was drawn", nullable=True),
        _field(
            "token_log_probs",
            pa.binary(),
            "[T] f16: natural log-probability of the forced token; compact: u8; null in mode none",
            nullable=True,
        ),
        _field(
            "entropy",
            pa.binary(),
            "[T] f16: entropy of the full distribution, in nats; compact: u8; null where the teacher is given, who "
            "told of the most probable entries alone",
            nullable=True,
        ),
    ]
)

# The measure, and the reason in a verdict, of rows that no teacher could score.
TOO_LONG = "too_long_to_score"
# Likewise, of rows of which the teacher told nothing, among others of which it did.
WITHOUT_SOFT_TARGETS = "without_soft_targets"

EXTERNAL = pa.struct(
    [
        _field("name", pa.string(), "name of the column in the recipe"),
        _field("value", pa.float64(), "its value; null where the file has none for this row", nullable=True),
    ]
)

# measure: numbers to judge a row by. Higher is not always better: see each comment.
MEASURES = pa.schema(
    [
        ID,
        _field(
            "length_ratio",
            pa.float32(),
            "length of the target / that of the source, in letters of an alphabet: Han count three, Hangul two",
        ),
        _field(
            "source_copy",
            pa.float32(),
            "share of source words, or letters of scripts without spaces, that stand in the target, in order; 1 = "
            "copy; null for very short sources",
            nullable=True,
        ),
        _field(
            "repetition",
            pa.float32(),
            "share of the target's words, or letters of scripts without spaces, in a run of one sequence of them, "
            "three times or more",
        ),
        _field(
            "log_prob_per_token",
            pa.float32(),
            "mean natural log-probability of the target's tokens, </s> included; null where no teacher is for the "
            "row's languages, none has positions for it, or it is given and did not tell",
            nullable=True,
        ),
        _field(
            "mean_entropy",
            pa.float32(),
            "mean over positions of the teacher's entropy, in nats; null where log_prob_per_token is, and where the "
            "teacher is given",
            nullable=True,
        ),
        _field(
            "reference_chrf", pa.float32(), "sentence chrF to the reference, 0..100; null without one", nullable=True
        ),
        _field(
            "language_probability",
            pa.float32(),
            "probability that the target is in target_language, 0..1; null where it cannot be told",
            nullable=True,
        ),
        _field("target_length", pa.int32(), "subwords of the target, </s> not counted"),
        _field(
            TOO_LONG,
            pa.bool_(),
            "whether source or target is longer than the teacher has positions for, so that nothing was forced",
        ),
        _field(
            WITHOUT_SOFT_TARGETS,
            pa.bool_(),
            "whether a teacher that is given told nothing of this target's tokens, though it did of others",
        ),
        _field("placeholders_lost", pa.int32(), "placeholders of the source that are not in the target"),
        _field("numbers_lost", pa.int32(), "numbers and times of the source that are not in the target"),
        _field(
            "unknown_tokens", pa.int32(), "tokens of the target that are <unk>, or marks for it that the source lacks"
        ),
        _field(
            "remarks",
            pa.int32(),
            "kinds of things said around the translation: a preface, a note, a refusal, quotes around all of it that "
            "the source lacks, a fence of code, marks of a chat",
        ),
        _field("line_breaks", pa.int32(), "breaks of a line, by any character for one, beyond those of the source"),
        _field(
            "columns",
            pa.list_(EXTERNAL),
            "the recipe's [[measure.columns]], in order: figures of this row from elsewhere",
        ),
    ]
)

# filter: the verdict. Rows that were not accepted stay, with every reason.
VERDICTS = pa.schema(
    [
        ID,
        _field("accepted", pa.bool_(), "whether the row goes into the dataset"),
        _field("reasons", pa.list_(pa.string()), "names of all rules that the row failed; empty when accepted"),
    ]
)


def joined(*schemas: pa.Schema) -> pa.Schema:
    """One schema with the fields of all, `id` once; raises ValueError when a name occurs twice."""
    fields = [ID, *(field for schema in schemas for field in schema if field.name != "id")]
    names = [field.name for field in fields]
    if len(set(names)) != len(names):
        raise ValueError(f"column named twice in {names}")
    return pa.schema(fields)


# dataset: what others reuse; every column of an accepted row.
DATASET = joined(PAIRS.remove(PAIRS.get_field_index("split")), NBEST, SELECTED, SOFT_TARGETS, MEASURES)
