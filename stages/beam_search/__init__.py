"""Beam search over a shard: options, batches, shortlist, and how large a batch should be."""
