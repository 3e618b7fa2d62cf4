"""Ways to learn the weights, one a file."""
