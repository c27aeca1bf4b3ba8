"""What this machine or a site has, what is missing, and how to get it."""
