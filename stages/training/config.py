"""What a training can be told: the shape of the model, how it is optimised, and what its loss is."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Precision = Literal["float32", "bfloat16"]
Preset = Literal["tiny", "base", "base-memory"]
Schedule = Literal["noam", "rsqrt", "constant", "inverse_sqrt", "linear", "cosine"]


class ModelConfig(BaseModel):
    """Shape of a pre-norm transformer with sinusoidal positions (https://arxiv.org/abs/1706.03762)."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    preset: Preset | None = Field(
        None,
        description="of a student: a shape of the field with a schedule that suits it and millions of rows; what is "
        "set beside it holds",
    )
    encoder_layers: int = Field(2, description="layers of the encoder", ge=1, le=48)
    decoder_layers: int = Field(1, description="layers of the decoder; few make decoding fast", ge=1, le=48)
    width: int = Field(128, description="D: size of embeddings and of every layer's output", ge=8, le=8192)
    heads: int = Field(4, description="attention heads; must divide width", ge=1, le=128)
    feed_forward: int = Field(512, description="inner size of the feed-forward blocks", ge=8, le=65536)
    dropout: float = Field(0.1, description="dropout of embeddings, residuals and feed-forward blocks", ge=0, lt=1)
    attention_dropout: float = Field(0.1, description="dropout of attention weights", ge=0, lt=1)
    share_embeddings: bool = Field(True, description="one embedding for both sides where their vocabularies are equal")
    tie_output: bool = Field(True, description="the output layer shares its weights with the target embedding")

    def shape(self) -> dict[str, int | bool]:
        """All that decides which weights there are."""
        names = ("encoder_layers", "decoder_layers", "width", "heads", "feed_forward", "share_embeddings", "tie_output")
        return {name: getattr(self, name) for name in names}

    @model_validator(mode="after")
    def _heads_divide_width(self) -> Self:
        if self.width % self.heads or self.width % 2:
            raise ValueError(f"width {self.width} must be even and a multiple of heads {self.heads}")
        return self


class OptimiserConfig(BaseModel):
    """How a model is trained: Adam, a schedule of the learning rate, and what a batch is."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    steps: int = Field(4000, description="updates of the weights", ge=1)
    epochs: float | None = Field(
        None,
        description="in place of steps: passes over all rows, those of several streams together; how many steps that "
        "are is reckoned from the first rows, and told",
        gt=0,
        le=10_000,
    )
    batch_tokens: int = Field(
        1536, description="rows of a batch times its longest side in tokens: padding counts, </s> counts", ge=16
    )
    accumulate: int = Field(1, description="batches whose gradients are summed for one update", ge=1)
    learning_rate: float = Field(
        0.4,
        description="factor on the schedule (noam, rsqrt), or the highest rate itself; the default is for noam, with "
        "others it is required",
        gt=0,
    )
    schedule: Schedule = Field(
        "noam",
        description="course of the learning rate; inverse_sqrt, linear and cosine rise to it in a line, and then fall "
        "with the root of the step, or to 0 at the last step in a line or half a cosine wave",
    )
    warmup_steps: int = Field(1000, description="steps in which the rate rises, or with rsqrt stays", ge=1)
    hold_steps: int = Field(
        0, description="inverse_sqrt, linear, cosine: steps at the highest rate before it falls", ge=0
    )
    adam_beta1: float = Field(0.9, description="decay of Adam's first moment", ge=0, lt=1)
    adam_beta2: float = Field(0.998, description="decay of Adam's second moment", ge=0, lt=1)
    weight_decay: float = Field(
        0.0,
        description="AdamW: part of each matrix that is taken off it in a step, times the rate; e.g. 0.01. 0 is Adam",
        ge=0,
        lt=1,
    )
    label_smoothing: float = Field(0.1, description="mass spread evenly over the vocabulary", ge=0, lt=1)
    max_grad_norm: float = Field(
        5.0,
        description="gradients are scaled down to this norm, and left as they are below it; 0 never touches them",
        ge=0,
    )
    average_decay: float = Field(
        0.0,
        description="weight of the newest weights in their moving average, e.g. 0.0005; 0 does not average",
        ge=0,
        lt=1,
    )
    max_tokens: int = Field(
        200, description="rows with more tokens on a side, </s> included, are skipped", ge=2, le=4999
    )
    shuffle_rows: int = Field(
        50_000,
        description="rows held in memory to shuffle and to sort by length, shared by kinds of data and language pairs",
        ge=1,
    )
    seed: int = Field(1, description="seed of initial weights, order of rows and dropout", ge=0, lt=2**31)
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto",
        description="of matrix products; auto takes bfloat16 where the machine multiplies it in hardware, and a "
        "resumed training what it began with",
    )
    report_every: int = Field(50, description="steps between two lines of training.jsonl", ge=1)
    validate_every: int = Field(500, description="steps between two validations; 0 validates at the end only", ge=0)
    checkpoint_every: int = Field(500, description="steps between two checkpoints to resume from", ge=1)

    rounded_steps: int = Field(
        0,
        description="last steps whose gradients are those of the weights as int8 rounds them (straight-through), for "
        "an export in int8",
        ge=0,
    )
    keep_state: bool = Field(
        True,
        description="leave state.pt, four times the weights, from which student.earlier can go on with more steps",
    )

    @model_validator(mode="after")
    def _ends_in_one_way(self) -> Self:
        if self.epochs is not None and "steps" in self.model_fields_set:
            raise ValueError("steps, epochs: either says how long it is trained; leave one of them out")
        return self

    @property
    def known_steps(self) -> int | None:
        """How many steps there will be, where the recipe says so."""
        return self.steps if self.epochs is None else None

    @model_validator(mode="after")
    def _falls_after_it_rises(self) -> Self:
        if self.hold_steps and self.schedule in ("noam", "rsqrt", "constant"):
            raise ValueError(f"hold_steps: not used with schedule = {self.schedule!r}; leave it out")
        before = self.warmup_steps + self.hold_steps
        if self.schedule in ("linear", "cosine") and self.epochs is None and before >= self.steps:
            raise ValueError(
                f"warmup_steps, hold_steps: {before} of {self.steps} steps leave none for schedule = {self.schedule!r} "
                "to fall in; lower them"
            )
        return self

    @model_validator(mode="after")
    def _rate_fits_the_schedule(self) -> Self:
        if self.schedule != "noam" and "learning_rate" not in self.model_fields_set:
            usual = f"{0.001 * self.warmup_steps**0.5:.2g}" if self.schedule == "rsqrt" else "0.0001 to 0.001"
            begins = ", which begins at a rate of 0.001 without a rise" if self.schedule == "rsqrt" else ""
            raise ValueError(
                f"learning_rate: required with schedule = {self.schedule!r}, as the default is a factor for noam; "
                f"usual is {usual}{begins}"
            )
        return self
