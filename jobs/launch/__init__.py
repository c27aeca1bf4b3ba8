"""Starting a command on ranks, watching it, and stopping it in order."""
