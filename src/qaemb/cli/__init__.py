"""The command line: a thin command for every stage, and a few that look things up. Errors become one plain message."""

from __future__ import annotations

import sys

from qaemb.cli import answers, data, modelling, results  # noqa: F401  they add their commands to the app
from qaemb.cli.app import app
from qaemb.errors import QaembError, missing_extra

_INTERRUPTED = 130  # by Ctrl-C


def main() -> None:
    """Run the command line; an expected failure or a missing extra prints its message and exits with 1."""
    try:
        app()
    except ModuleNotFoundError as error:
        problem = missing_extra(error)
        if problem is None:
            raise
        print(f"qaemb: {problem}", file=sys.stderr)
        sys.exit(1)
    except QaembError as error:
        print(f"qaemb: {error}", file=sys.stderr)
        sys.exit(1)
    except SystemExit as ended:
        if ended.code == _INTERRUPTED:  # Typer ends so, and says nothing
            print("\nqaemb: interrupted; what was finished is kept, run the same command to go on", file=sys.stderr)
        raise
