"""`sf` and `python -m sf`: answers ``--version`` itself, since scripts ask often, and loads the rest otherwise."""

import sys

from sf import __version__


def main() -> None:
    if sys.argv[1:] == ["--version"]:
        sys.stdout.write(f"sf {__version__}\n")
        return
    from sf import cli  # noqa: PLC0415 - everything else costs several times the interpreter's own start

    cli.main()


if __name__ == "__main__":
    main()
