"""hpcbench: benchmark a cluster with the machine learning of high-dimensional chaos.

The core package: configuration, dataset format, models, training, forecasting, metrics and
run records. It knows no equation (``sims``), no scheduler (``jobs``) and no plot (``analysis``).
"""

__version__ = "0.1.0"
