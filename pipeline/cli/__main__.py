"""`python -m pipeline.cli`, where the command `potstill` is not on the path."""

from pipeline.cli.app import main

if __name__ == "__main__":
    main()
