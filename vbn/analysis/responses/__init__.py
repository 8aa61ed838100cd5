"""What units respond to: image changes, omissions, images, flashes, running, positions on the screen."""
