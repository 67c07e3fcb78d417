"""Names of a recipe's teachers, and of the nodes that work with one of them."""

from collections.abc import Container, Iterable

# That of [teacher]; each other one is named by its section, [teachers.NAME].
FIRST = "teacher"
# The stage that has the translations of a teacher that is given.
GIVEN = "given"


def node_of(stage: str, teacher: str) -> str:
    """The node that does a stage's work with a teacher: `decode`, or `decode_small` with that of [teachers.small]."""
    return stage if teacher == FIRST else f"{stage}_{teacher}"


def section_of(teacher: str) -> str:
    """The recipe's section of a teacher."""
    return FIRST if teacher == FIRST else f"teachers.{teacher}"


def teacher_of(node: str) -> str:
    """The name of the teacher that a node `teacher` or `teacher_NAME` makes."""
    return FIRST if node == FIRST else node.removeprefix(f"{FIRST}_")


def teacher_nodes(nodes: Iterable[str]) -> dict[str, str]:
    """The teachers among some nodes, by name, the first one first."""
    found = [node for node in nodes if node == FIRST or node.startswith(f"{FIRST}_")]
    return {teacher_of(node): node for node in sorted(found, key=lambda node: node != FIRST)}


def given_nodes(nodes: Iterable[str]) -> dict[str, str]:
    """Of the teachers whose translations are given the nodes that have them, by the teacher's name."""
    found = [node for node in nodes if node == GIVEN or node.startswith(f"{GIVEN}_")]
    return {FIRST if node == GIVEN else node.removeprefix(f"{GIVEN}_"): node for node in found}


def nbest_node(nodes: Container[str]) -> str:
    """Where the n-best lists are that are gone on with: of several teachers they are pooled."""
    return "pool" if "pool" in nodes else "decode"


def soft_targets_node(nodes: Container[str]) -> str:
    """Where the soft targets are that are gone on with: of several teachers they are fused."""
    return "fuse" if "fuse" in nodes else "score"
