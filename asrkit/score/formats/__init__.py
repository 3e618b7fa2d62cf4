"""What files of transcripts look like: one family of formats a module."""
