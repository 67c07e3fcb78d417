"""From rows to batches of ids: pools, lengths, shares of streams and of language pairs, soft targets."""
