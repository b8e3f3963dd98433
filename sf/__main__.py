"""`sf` and `python -m sf`: answers what is asked often by itself, and loads the rest otherwise."""

import sys

from sf import __version__


def main() -> None:
    if sys.argv[1:] == ["--version"]:
        sys.stdout.write(f"sf {__version__}\n")
        return
    if sys.argv[1:2] == ["credential"]:
        from sf import credential  # noqa: PLC0415 - needed by this command alone

        sys.exit(credential.main(sys.argv[2:]))
    from sf import cli  # noqa: PLC0415 - everything else costs several times the interpreter's own start

    cli.main()


if __name__ == "__main__":
    main()
