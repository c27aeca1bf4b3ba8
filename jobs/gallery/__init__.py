"""Small teaching examples of dynamics and training, as pictures."""
