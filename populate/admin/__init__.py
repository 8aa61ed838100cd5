"""Administration: accounts, deletion, garbage, checksums, backups, doctor."""
