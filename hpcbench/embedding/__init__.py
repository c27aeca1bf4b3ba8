"""How a series is laid out in time before a network sees it: delays, dimension, decorrelation.

One file per idea: :mod:`correlation` and :mod:`information` say how long samples remember each
other, :mod:`neighbours` how many delays unfold an attractor, :mod:`delays` and
:mod:`components` make the coordinates, :mod:`scores` measure how correlated they still are, and
:mod:`diagnosis` does all of it for a dataset (``hpcbench embed``). :mod:`config`,
:mod:`subsampling` and :mod:`delay_line` put an embedding in front of a forecaster (the
``[embedding]`` section of a run).

Conventions: ``rows`` of a scalar series are ``(row, time)``, each row an uncut stretch of the
same process; states are ``(..., time, component)``; lags and delays count samples.
"""
