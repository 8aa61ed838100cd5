"""What units respond to: changes, omissions, images, flashes, running, places on the screen."""
