"""The command ``vbn``, which first checks that Python finds its own packages."""

from __future__ import annotations

import sys

from vbn_datajoint import HOME, NAMES, in_front_of, problem_with


def main() -> None:
    """Run the command line, or report which file is in its way, without running that file."""
    for name in NAMES:
        if problem := problem_with(name) or _hidden(name):
            sys.exit(f"vbn: {problem}")
    from populate.cli import main as run

    run()


def _hidden(name: str) -> str | None:
    """Return what Python, and each process that we start, would find in place of one of our packages."""
    other = in_front_of(name)
    return other and (
        f"Python finds {other!r} in place of vbn-datajoint's {name!r}, which is in {str(HOME)!r}. Rename it, "
        "uninstall the package that it belongs to, or take its folder off PYTHONPATH; with 'python -m', "
        "go to another folder."
    )


if __name__ == "__main__":
    main()
