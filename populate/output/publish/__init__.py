"""Publishing a database as a folder of files that everybody can open (`vbn publish`)."""
