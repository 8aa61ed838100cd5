"""Files of sessions on this machine, and the store of arrays."""
