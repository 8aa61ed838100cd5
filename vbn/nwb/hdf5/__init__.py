"""Opening HDF5 files that are not trusted: kind, structure, filters, single values."""
