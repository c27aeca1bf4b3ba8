"""Methods that leave the recurrent path out of the gradient."""
