"""Opening untrusted HDF5 files: kind, structure, filters, scalar values."""
