"""What is wrong with a recipe's data and settings before the first step, and with its run."""
