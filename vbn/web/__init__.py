"""Access to web servers: requests with retries, and reading files by ranges."""
