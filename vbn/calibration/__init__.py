"""What the numbers of units are worth: simulated sessions with a known truth, measured as real ones are.

A *world* says how units fire: without any effect (a null world, unkind as real recordings are) or with one of
a stated size. Sessions are simulated, their units measured by the functions of `vbn.analysis` that the tables
call, and the results compared with what is true in that world.
"""
