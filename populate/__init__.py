"""How rows of the Visual Behavior Neuropixels database come to be, and the command line ``vbn``."""
