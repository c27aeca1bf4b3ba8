"""Methods that choose what a network is fed while it trains: truth, forecasts, or a mixture."""
