"""The tasks, one a file: what a sequence is, and when it is mastered."""
