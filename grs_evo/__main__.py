"""`python -m grs_evo` is `grs-evo`."""

from grs_evo.cli.commands import main

if __name__ == "__main__":
    main()
