"""Noise as the corpus writes it into its rows, and counts it."""

from collections import Counter
from typing import Any, NamedTuple

from stages.noise.config import Config
from stages.noise.rows import followed, noise_of


class Texts(NamedTuple):
    """Texts of a row; `of_noise` are the columns of the same names."""

    source: str
    reference: str | None
    noise: str | None = None
    student_source: str | None = None
    clean_source: str | None = None
    clean_reference: str | None = None

    def of_noise(self) -> tuple[str | None, ...]:
        """All but source and reference."""
        return self[2:]


class NoiseWriter:
    """Gives training rows their noise."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._rows = 0
        self._drawn: Counter[str] = Counter()
        self._changed: Counter[str] = Counter()

    def written(self, row_id: str, texts: Texts, source_language: str, target_language: str) -> Texts:
        """The texts of a clean row with the noise that it draws, if any.

        A reference follows a source that the teacher reads: it is what its translations are compared with.
        """
        self._rows += 1
        noise = noise_of(row_id, texts.source, source_language, self._config)
        if noise is None:
            return texts
        self._drawn[noise.kind] += 1
        if noise.source == texts.source:
            return texts
        self._changed[noise.kind] += 1
        if self._config.read_by == "student":
            return texts._replace(noise=noise.kind, student_source=noise.source)
        reference = texts.reference
        if reference is not None:
            reference = followed(reference, noise.kind, target_language, texts.source, noise.source)
        clean = None if reference == texts.reference else texts.reference
        return Texts(noise.source, reference, noise.kind, None, texts.source, clean)

    def metrics(self) -> dict[str, Any]:
        """Training rows, and of each kind with a share how many drew it, and how many of these it changed."""
        kinds = {
            kind: {"share": share, "drawn": self._drawn[kind], "changed": self._changed[kind]}
            for kind, share in self._config.shares()
        }
        config = {"read_by": self._config.read_by, "seed": self._config.seed}
        return {**config, "rows": self._rows, "changed": self._changed.total(), "kinds": kinds}
