"""All that is known of a run: `metrics.json`, and one web page that shows it."""

import importlib.metadata
import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from data.local import write_atomically
from data.runtime import Runtime
from data.store import Artifact
from stages.report.examples import build_examples, choose_rows
from stages.report.facts import gather_metrics, read_curves
from stages.report.page import ExampleRule, render_page

VERSION = "2"
LIBRARIES = ("jinja2", "matplotlib", "sacrebleu")
INPUTS = (
    "corpus",
    "tokenizer",
    "teacher",
    "decode",
    "select",
    "sides",
    "score",
    "measure",
    "filter",
    "dataset",
    "student",
    "baseline",
    "export",
    "export_baseline",
    "evaluate",
)
TELLS_OF_INPUTS = True
METRICS, PAGE = "metrics.json", "index.html"
_TRANSLATIONS = "translations-00000"


class Config(BaseModel):
    """What the page shows."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    examples: int = Field(36, ge=0, le=1000, description="test sentences shown side by side, drawn at random")
    seed: int = Field(1, ge=0, description="seed of that draw")


def run(inputs: Mapping[str, Artifact], config: Config, output: Artifact, runtime: Runtime) -> dict[str, Any]:
    """Write `metrics.json` and `index.html`; the metrics returned are those of the file."""
    metrics = gather_metrics(inputs)
    translations = inputs["evaluate"].read_shard(_TRANSLATIONS)
    rows = choose_rows(translations, config.examples, config.seed)
    rule = ExampleRule(number=len(rows), of=translations.num_rows, seed=config.seed)
    curves = {node: read_curves(inputs[node]) for node in ("student", "baseline") if node in inputs}
    page = render_page(metrics, curves, build_examples(rows), rule, _version())
    folder = output.work_path()
    write_atomically(folder / METRICS, json.dumps(metrics, indent=1, ensure_ascii=False).encode())
    write_atomically(folder / PAGE, page.encode())
    return metrics


def _version() -> str:
    try:
        return importlib.metadata.version("potstill")
    except importlib.metadata.PackageNotFoundError:
        return ""
