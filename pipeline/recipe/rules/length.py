"""Targets that the search cut off: would the filter let them through?"""

from collections.abc import Iterator, Mapping

from pydantic import BaseModel

from stages.decode import stage as decode
from stages.filter import stage as filter


def length_faults(configs: Mapping[str, BaseModel]) -> Iterator[str]:
    """A line when the longest targets that pass are those that have no end; none where the rule was taken away."""
    search, policy = configs.get("decode"), configs.get("filter")
    if not isinstance(search, decode.Config) or not isinstance(policy, filter.Config):
        return
    longest = policy.rules.target_length.max
    if longest is not None and longest >= search.max_decoding_length:
        yield (
            f"filter.rules.target_length.max: {longest:g}, and decode cuts a hypothesis off after "
            f"decode.max_decoding_length = {search.max_decoding_length} tokens: such targets, which have no end, would "
            f"pass; set it to {search.max_decoding_length - 1} or less"
        )
