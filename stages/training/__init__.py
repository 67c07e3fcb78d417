"""Training of a transformer by OpenNMT-py behind an interface of ours, so that its successor can take its place.

`api.train_transformer` is the way in; `config` alone is light. Only `model` and `loop` import OpenNMT-py.
"""
