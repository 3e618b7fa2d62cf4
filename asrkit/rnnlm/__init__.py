"""Recurrent language models of words: network, training, file, and what they say of sentences."""
