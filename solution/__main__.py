"""``python -m solution``: the command line, which `solution.cli.app` puts together."""

from solution.cli.script import main

if __name__ == "__main__":
    main()
