"""``python -m populate`` is ``vbn``."""

from populate.cli import main

main()
