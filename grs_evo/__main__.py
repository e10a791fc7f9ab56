"""`python -m grs_evo` is `grs-evo`."""

from .cli import main

if __name__ == "__main__":
    main()
