"""The task: trials, flashes, licks, engagement, performance, and the events to align to."""
