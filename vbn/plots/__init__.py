"""Figures drawn from arrays with matplotlib's object interface, without pyplot or global state."""

from vbn.plots.behavior import SessionBehavior, plot_behavior
from vbn.plots.change_response import ChangeResponse, plot_change_groups, plot_change_response
from vbn.plots.example import SessionExample, plot_example
from vbn.plots.field import FieldGrid, plot_fields
from vbn.plots.files import save_figure, save_source_data
from vbn.plots.hierarchy import ChangeHierarchy, plot_hierarchy
from vbn.plots.novelty import NoveltyContrasts, plot_novelty
from vbn.plots.optotagging import LaserEvidence, plot_optotagging
from vbn.plots.probe import ProbeDepths, SessionProbes, SourceDensity, plot_probes
from vbn.plots.session import SessionOverview, plot_session
from vbn.plots.source_data import source_data
from vbn.plots.style import chosen_style
from vbn.plots.tables import TableDiagram, plot_tables
from vbn.plots.training import TrainingHistory, plot_training
from vbn.plots.unit import UnitCard, plot_unit

__all__ = [
    "ChangeHierarchy",
    "ChangeResponse",
    "FieldGrid",
    "LaserEvidence",
    "NoveltyContrasts",
    "ProbeDepths",
    "SessionBehavior",
    "SessionExample",
    "SessionOverview",
    "SessionProbes",
    "SourceDensity",
    "TableDiagram",
    "TrainingHistory",
    "UnitCard",
    "chosen_style",
    "plot_behavior",
    "plot_change_groups",
    "plot_change_response",
    "plot_example",
    "plot_fields",
    "plot_hierarchy",
    "plot_novelty",
    "plot_optotagging",
    "plot_probes",
    "plot_session",
    "plot_tables",
    "plot_training",
    "plot_unit",
    "save_figure",
    "save_source_data",
    "source_data",
]
