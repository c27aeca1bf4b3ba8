"""The doctor: what this machine or a site has, what it lacks, and how to get it."""
