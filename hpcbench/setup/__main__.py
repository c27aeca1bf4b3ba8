"""Set-up as a program, run before anything is installed: ``python3 -I hpcbench/setup``.

It needs the standard library alone. In isolated mode the import path holds this folder, whose
``horovod`` is not the package of that name: the checkout takes its place.
"""

import sys
from pathlib import Path

PYTHON_NEEDED = (3, 11)
# Exit codes as in hpcbench.errors, which an older Python cannot read, and as shells report Ctrl-C.
ENVIRONMENT_LACKS = 4
INTERRUPTED = 130


def main() -> int:
    """Refuse an old Python, then run :mod:`hpcbench.setup.environment`."""
    if sys.version_info < PYTHON_NEEDED:
        version = ".".join(str(part) for part in sys.version_info[:3])
        print(
            f"setup: Python {version} ({sys.executable}) is too old; 3.11 or newer is needed. "
            "Name one: make PYTHON=/path/to/python3.11 smoke",
            file=sys.stderr,
        )
        return ENVIRONMENT_LACKS
    if not __package__:  # the folder was given to Python, not the name of the package
        sys.path[0] = str(Path(__file__).resolve().parents[2])
    from hpcbench.setup.environment import main as set_up
    from hpcbench.setup.steps import fail

    try:
        return set_up(sys.argv[1:])
    except KeyboardInterrupt:
        fail("interrupted; run the command again to continue", INTERRUPTED)
    except OSError as error:
        fail(f"{error}; is the disk full, or the folder read-only?")


if __name__ == "__main__":
    raise SystemExit(main())
