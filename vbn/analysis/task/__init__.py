"""The change detection task: trials, flashes, licks, engagement, performance, events for alignment."""
