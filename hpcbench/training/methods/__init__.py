"""The training methods, one file each: what they do with a window of true states."""
