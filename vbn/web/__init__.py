"""Web servers: requests that are tried again, and files read by ranges."""
