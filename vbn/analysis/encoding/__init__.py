"""Encoding models: spike counts of many units as a sum of kernels of what happens, and what each kernel adds.

`vbn.analysis.encoding.model.encoding_model` fits all units of a session. Bins, kernels and columns are in
`design`; what a ridge regression needs of the data, added up by blocks of rows, in `sums`; regression,
dropouts and scores in `ridge`; a null by shifts in `null`; predicted PSTHs in `psth`.
"""
