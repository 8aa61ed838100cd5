"""How rows come to be: registering files, populating, status, and the command line ``vbn``."""
