"""What a recipe can say of decoding: the options of decode, and of calibrate, which goes before it."""

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Config(BaseModel):
    """How the teacher searches. Nothing is sampled."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    beam_size: int = Field(5, description="hypotheses followed at the same time; 1 is greedy search", ge=1, le=64)
    num_hypotheses: int = Field(5, description="hypotheses kept of every source; at most beam_size", ge=1, le=64)
    length_penalty: float = Field(1.0, description="scores are divided by length to this power; 0 does not", ge=0, le=5)
    max_batch_tokens: int = Field(
        0, description="source tokens of a batch, padding counts; 0 measures what is fastest here, once a run", ge=0
    )
    max_source_tokens: int = Field(
        256, description="longer sources are not translated; their hypothesis is empty", ge=1, le=1000
    )
    max_decoding_length: int = Field(
        256,
        description="tokens after which a hypothesis is cut off; the stage counts such (cut_off), and "
        "filter.rules.target_length rejects them",
        ge=1,
        le=1000,
    )
    disable_unk: bool = Field(
        False,
        description="the teacher never says <unk>, but what it finds next best; by default it may, and "
        "filter.rules.unknown_tokens rejects it",
    )
    shortlist: int = Field(
        0,
        description="target subwords that a source subword may become, learned from the references: faster where the "
        "vocabulary is large; n-best scores are then over those candidates; 0 searches the whole vocabulary",
        ge=0,
        le=1000,
    )

    @model_validator(mode="after")
    def _hypotheses_fit_the_beam(self) -> Self:
        if self.num_hypotheses > self.beam_size:
            raise ValueError(
                f"num_hypotheses {self.num_hypotheses} is more than beam_size {self.beam_size}: a beam yields no more"
            )
        return self
