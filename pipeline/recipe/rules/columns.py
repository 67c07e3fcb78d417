"""Rules of the filter for figures that a file has: is there a file for each?"""

from collections.abc import Iterator, Mapping

from pydantic import BaseModel

from pipeline.recipe.faults import did_you_mean
from stages.filter import stage as filter
from stages.measure import stage as measure


def column_rule_faults(configs: Mapping[str, BaseModel]) -> Iterator[str]:
    """A line for each rule of a column that [[measure.columns]] does not have."""
    measured, judged = configs.get("measure"), configs.get("filter")
    if not isinstance(measured, measure.Config) or not isinstance(judged, filter.Config):
        return
    known = [column.name for column in measured.columns]
    for name in judged.rules.columns:
        if name not in known:
            yield (
                f"filter.rules.columns.{name}: no [[measure.columns]] has this name{did_you_mean(name, known)}; add "
                "one, with the file that has its values"
            )
