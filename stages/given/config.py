"""What a recipe says of translations that were made elsewhere: where they are, and what their fields are called."""

import glob
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

Key = Literal[
    "id",
    "source",
    "source_language",
    "target_language",
    "target",
    "hypotheses",
    "score",
    "scores",
    "tokens",
    "log_probs",
]


class Config(BaseModel):
    """A teacher that is not asked: translations made elsewhere, by an API, a large model, a rule-based system, people.

    docs/teachers.md says what the file has.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["given"] = Field("given", description="its translations are given in a file")
    path: str = Field(
        description="a file of Parquet, JSONL or tab-separated values, the last two also packed by gzip or zstd; with "
        "* or ? in its name several, in the order of their names",
        min_length=1,
    )
    # One line of plain text: it stands on the dataset's card and in the report.
    made_by: str = Field("", description="who or what made them, for the card and the report", pattern=r"^[^\r\n<>|]*$")
    fields: dict[Key, str] = Field(
        default_factory=dict,
        description="what the file calls its fields, where that is another name, e.g. {target = 'mt'}; in JSONL and "
        "Parquet with dots for what is inside, e.g. {id = 'custom_id', target = 'response.text'}",
    )
    pairs: list[str] = Field(
        default_factory=list,
        description="language pairs of the corpus that it is for, such as es-ca; rows of others are not looked for; "
        "by default all",
    )
    soft_targets: bool = Field(
        False,
        description="the file has log_probs, the most probable entries at every token, which become soft targets",
    )

    @field_validator("fields")
    @classmethod
    def _named(cls, fields: dict[Key, str]) -> dict[Key, str]:
        if empty := [key for key, name in fields.items() if not name]:
            raise ValueError(f"{', '.join(empty)}: the name is empty; expected what the file calls it")
        return fields

    def name(self, key: Key) -> str:
        """What the file calls a field."""
        return self.fields.get(key, key)

    def files(self) -> list[Path]:
        """Those that are there."""
        path = Path(self.path).expanduser()
        if path.is_file():
            return [path]
        # Path.glob takes no pattern that begins at the root.
        return [each for each in map(Path, sorted(glob.glob(str(path), recursive=True))) if each.is_file()]  # noqa: PTH207


def absent(config: Config) -> list[str]:
    """A line where there is no such file yet: it may be made of the corpus, so no recipe is refused for it."""
    if config.files():
        return []
    return [f"path: {config.path}: no such file"]
