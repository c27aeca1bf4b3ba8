"""Running points and datasets: one attempt, one point, all points on this machine."""
