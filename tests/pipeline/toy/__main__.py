"""`python -m tests.pipeline.toy`: the real command over the toy stages."""

from pipeline.cli.app import main
from tests.pipeline.toy.registry import TOY_STAGES

if __name__ == "__main__":
    main(stages=TOY_STAGES)
