"""Reading files of other rigs: a mapping says which of their names stands for which of the release's."""

from vbn.nwb.mapping.definition import FileMapping, parse_mapping, read_mapping
from vbn.nwb.mapping.reading import MappedReading

__all__ = ["FileMapping", "MappedReading", "parse_mapping", "read_mapping"]
