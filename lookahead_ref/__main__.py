"""``python -m lookahead_ref``: the command line, where its script is not on the path."""

from lookahead_ref.cli.app import main

if __name__ == "__main__":
    main()
