"""``python -m populate`` is ``vbn``."""

from vbn_datajoint.__main__ import main

main()
