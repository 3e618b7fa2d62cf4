"""Settings of decoding, chosen on a dev set."""
