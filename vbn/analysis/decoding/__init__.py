"""What can be read from the counts of populations and units: images, changes, omissions, hits and misses."""
