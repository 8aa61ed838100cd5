"""The data of each figure, fetched from the tables in one call; ``vbn.plots`` draws them."""

from schemas.figures.behavior import session_behavior
from schemas.figures.brain import session_in_brain, unit_in_brain
from schemas.figures.change import change_response, grouped_change_response
from schemas.figures.diagram import table_diagram
from schemas.figures.example import session_example
from schemas.figures.fields import structure_fields
from schemas.figures.hierarchy import change_hierarchy
from schemas.figures.novelty import novelty_contrasts
from schemas.figures.optotagging import laser_evidence
from schemas.figures.overview import session_overview
from schemas.figures.probes import session_probes
from schemas.figures.training import training_history
from schemas.figures.unit import unit_card
from schemas.queries.located_units import located_units, session_key

__all__ = [
    "change_hierarchy",
    "change_response",
    "grouped_change_response",
    "laser_evidence",
    "located_units",
    "novelty_contrasts",
    "session_behavior",
    "session_example",
    "session_in_brain",
    "session_key",
    "session_overview",
    "session_probes",
    "structure_fields",
    "table_diagram",
    "training_history",
    "unit_card",
    "unit_in_brain",
]
