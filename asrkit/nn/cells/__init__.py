"""The recurrences of the LSTM family, one a module: equations, source and code side by side."""
