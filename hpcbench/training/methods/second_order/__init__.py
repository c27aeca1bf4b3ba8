"""Steps from the curvature of the loss."""
