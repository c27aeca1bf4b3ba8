"""Methods that choose the inputs of training: the truth, forecasts, or a mixture of both."""
