"""The command ``vbn``, which looks first whether Python finds the packages that it is made of."""

from __future__ import annotations

import sys

from vbn_datajoint import HOME, NAMES, in_front_of, problem_with


def main() -> None:
    """Run the command line, or say what stands in its way, of which nothing has been run then."""
    for name in NAMES:
        if problem := problem_with(name) or _hidden(name):
            sys.exit(f"vbn: {problem}")
    from populate.cli import main as run

    run()


def _hidden(name: str) -> str | None:
    """Return in words what Python, and each process that we start, finds in place of a package of ours."""
    other = in_front_of(name)
    return other and (
        f"Python finds {other!r} in place of vbn-datajoint's {name!r}, which is in {str(HOME)!r}. Rename it, "
        "uninstall the package that it belongs to, or take its folder off PYTHONPATH; with 'python -m', "
        "go to another folder."
    )


if __name__ == "__main__":
    main()
