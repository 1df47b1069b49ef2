"""``python -m zfcore``: the command line."""

from zfcore.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
