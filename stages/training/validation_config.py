"""What a training is validated on, and what follows from it, as a recipe says it."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Metric = Literal["cross_entropy", "chrf", "bleu"]


class ValidationConfig(BaseModel):
    """Validation of a model under way; how often is `optimiser.validate_every`."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    rows: int = Field(
        2000,
        description="most rows of the valid split that are looked at, the same each time: those of the smallest hash, "
        "of several language pairs as many of each as there are",
        ge=1,
    )
    targets: Literal["reference", "teacher"] = Field(
        "reference",
        description="what they are compared with: the corpus's references, or the teacher's greedy translations of the "
        "sources, which are made before the first step",
    )
    metric: Metric = Field(
        "cross_entropy",
        description="what makes one checkpoint better than another: cross_entropy, or chrf or bleu of greedy "
        "translations by the model as it stands",
    )
    translate_rows: int = Field(500, description="most rows that are translated for chrf and bleu", ge=1)
    ships: Literal["last", "best"] = Field(
        "last", description="which weights become the model: the last, or those of the best validation"
    )
    average: int = Field(
        1,
        description="validations whose weights are averaged in what ships: the best so many of them, or the last; the "
        "moving average, if any, is what each of them is of",
        ge=1,
        le=100,
    )
    patience: int = Field(
        0,
        description="validations without a better one after which the training ends; 0 goes on to the last step",
        ge=0,
    )

    def looks_back(self) -> bool:
        """Whether something hangs on single validations, and not on the last weights alone."""
        return self.keeps or self.patience > 0

    def fault(self, validate_every: int) -> str:
        """What is wrong with a training that is validated so often; empty where nothing is."""
        if self.looks_back() and not validate_every:
            return (
                "validation: ships, average and patience hang on validations under way, of which optimiser."
                "validate_every = 0 has none; raise it, or leave them out"
            )
        return ""

    @property
    def keeps(self) -> bool:
        """Whether other weights than the very last may ship."""
        return self.ships == "best" or self.average > 1

    @property
    def translates(self) -> bool:
        """Whether the model must translate at each validation."""
        return self.metric != "cross_entropy"

    @model_validator(mode="after")
    def _rows_are_translated(self) -> Self:
        if "translate_rows" in self.model_fields_set and not self.translates:
            raise ValueError("translate_rows: nothing is translated with metric = 'cross_entropy'; leave it out")
        return self
