"""By which strategies a mouse licks: weights of bias, task and timing, flash by flash.

`vbn.analysis.strategy.model.strategy_model` fits a session. What is known at each flash is made in
`regressors`; the logistic regression whose weights walk is in `random_walk`, or that of the package psytrack,
by `with_psytrack`.
"""
