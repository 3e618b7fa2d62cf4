"""A laboratory for recurrent cells: the classic tasks of the LSTM papers."""
