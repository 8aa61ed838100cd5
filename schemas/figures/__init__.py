"""What each figure needs, fetched from the tables in one call; ``vbn.plots`` draws it."""

from schemas.figures.change import change_response
from schemas.figures.places import GOOD_UNITS, located_units, session_key

__all__ = ["GOOD_UNITS", "change_response", "located_units", "session_key"]
