"""The ways of distilling that `make bench-quality` compares, each as what it changes in a recipe.

METHODS change recipes/quality.toml, all for the same few steps. LONG shows what is reached in the end: the
long demo's recipe, for twice its steps.
"""

from dataclasses import dataclass, field

# The student's loss without soft targets: all that sequence-level distillation needs.
_HARD = ("student.objective.soft_targets.weight=0.0",)


@dataclass(frozen=True)
class Method:
    """One row of the table."""

    name: str
    title: str
    changes: tuple[str, ...] = ()
    # Another method with the same data that this one is held against; its group's references where empty.
    against: str = field(default="")
    recipe: str = "quality"
    # Differences of a chrF between rows are told by several; the long rows are far apart, and take hours each.
    seeds: tuple[int, ...] = (1, 2, 3)
    # Whether the student also translates with the teacher's beam, beside greedily.
    searches: bool = False


def _soft(missing_mass: str, k: int) -> Method:
    return Method(
        f"soft-{missing_mass}-k{k}",
        f"sequence and word level, k = {k}, {missing_mass}",
        (f"score.k={k}", f"student.objective.soft_targets.missing_mass={missing_mass}"),
        against="interpolation",
    )


def _added(name: str, title: str, *changes: str) -> Method:
    """To sequence and word level with k = 16, renormalise: the recipe as it is."""
    return Method(name, f"the same, and {title}", changes, against="soft-renormalise-k16")


_HARDEST = "student.objective.soft_targets.hardest=0.5"
_FEATURES = (
    'student.objective.features=[{stack = "encoder", distance = "cosine"}, {stack = "decoder", distance = "cosine"}]'
)
_ATTENTION = (
    'student.objective.attention=[{kind = "encoder_self", weight = 0.3}, {kind = "decoder_self", weight = 0.3}, '
    '{kind = "cross", weight = 0.3}]'
)
_RELATIONS = 'student.objective.relations=[{stack = "encoder", weight = 0.5}, {stack = "decoder", weight = 0.5}]'
_TRANSFER = 'student.start.embeddings="svd"'
_MIXED = "student.data={hypothesis = 0.6, reference = 0.4}"
# What was ahead, each by itself, when one seed of most rows was there; contrastive and sentences came after it.
_TOGETHER = (
    "student.objective.soft_targets.missing_mass=ghost",
    _HARDEST,
    _FEATURES,
    _ATTENTION,
    _RELATIONS,
    _TRANSFER,
)

METHODS: tuple[Method, ...] = (
    Method("references", "references, no teacher", ("student.data=reference", *_HARD)),
    Method("score", "sequence level: the teacher's best hypothesis", ("select.metric=score", *_HARD)),
    Method("interpolation", "sequence level: the hypothesis nearest to the reference", _HARD),
    Method("mbr", "sequence level: the hypothesis nearest to the others (MBR)", ("select.metric=mbr-chrf", *_HARD)),
    Method(
        "nbest",
        "sequence level: one of five hypotheses an epoch, drawn by MBR utility",
        (
            "select.metric=mbr-chrf",
            "student.data=nbest",
            'student.nbest={weights = "utility", temperature = 10.0}',
            *_HARD,
        ),
    ),
    Method("word", "word level on the references, k = 16, renormalise", ("select.metric=reference",)),
    *(_soft(mass, k) for k in (1, 4, 16, 64) for mass in ("renormalise", "ghost", "gold")),
    Method(
        "sampled",
        "sequence and word level, 50 draws",
        ("score.mode=sampled", "score.draws=50", "student.objective.soft_targets={weight = 1.0}"),
        against="interpolation",
    ),
    _added("temperature", "temperature 2", "student.objective.soft_targets.temperature=2.0"),
    _added("selective", "only the hardest half of the tokens", _HARDEST),
    _added("features", "features, both stacks", _FEATURES),
    _added("attention", "attention, encoder, decoder and cross", _ATTENTION),
    _added("relations", "relations, both stacks", _RELATIONS),
    _added(
        "sentences",
        "relations of sentences (RKD)",
        'student.objective.sentences=[{relation = "distance"}, '
        '{relation = "angle", weight = 2.0, most_sentences = 32}]',
    ),
    _added("contrastive", "contrastive", "student.objective.contrastive=[{weight = 0.5}]"),
    _added("transfer", "a start from the teacher's embeddings (SVD)", _TRANSFER),
    _added(
        "phases",
        "before it a fifth of the steps on references",
        "student.data=reference",
        "student.objective.soft_targets.weight=0.0",
        'student.phases=[{begin = 500, data = "hypothesis", '
        'objective = {soft_targets = {weight = 1.0, missing_mass = "renormalise"}}}]',
    ),
    _added("mixed", "three batches of it to two of references", _MIXED),
    Method(
        "together",
        "many at once: ghost, the hardest half, features, attention, relations, the teacher's embeddings",
        _TOGETHER,
        against="interpolation",
    ),
)
_LONG = ("student.optimiser.steps=20000",)
# The demo's teacher as bench/quality.py has it: with the checkpoint that objectives on inner states need.
_IN_MEMORY = (
    "teacher.kind=opennmt",
    "teacher.path=runs/quality-teacher/checkpoint.pt",
    "tokenizer.kind=file",
    "tokenizer.source_model=recipes/teachers/en-de/source.spm",
)


def _long(name: str, title: str, *changes: str) -> Method:
    return Method(name, title, (*changes, *_LONG), recipe="demo-full", seeds=(1,), searches=True)


LONG: tuple[Method, ...] = (
    _long("references-long", "references, no teacher", "student.data=reference", *_HARD),
    _long(
        "mixed-long",
        "as the demo distils: three batches of hypotheses to two of references",
        _MIXED,
        "student.objective.soft_targets.missing_mass=ghost",
        *_IN_MEMORY,
    ),
    _long("together-long", "many at once, on hypotheses", "student.data=hypothesis", *_TOGETHER, *_IN_MEMORY),
)
# Of each recipe the method without a teacher.
REFERENCES = {"quality": "references", "demo-full": "references-long"}
BY_NAME = {method.name: method for method in (*METHODS, *LONG)}
