"""Stock `onmt_train`, with its own tokenizer package: `python bench/stock_onmt_train.py -config ...`.

Needs pyonmttok, which Potstill does without and which has no wheels beyond Python 3.12. Transforms that need further
packages, and that no config of ours names, are left out.
"""

import pyonmttok  # noqa: F401  # loaded before, it is the one that OpenNMT-py finds

import stages.training.opennmt  # noqa: F401

if __name__ == "__main__":
    from onmt.bin.train import main

    main()
