"""Noise: sources written anew as people write them, in capitals or with typos, and what that asks of targets."""
