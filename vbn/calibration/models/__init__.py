"""What models and measures of populations are worth: encoding, decoding, pairs, timescales, strategies.

They are dearer than columns of single units, and claim other things; so they have worlds and a run of their
own, with the same sessions.
"""
