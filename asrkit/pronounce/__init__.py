"""Letters to sounds: pronunciations of words that no lexicon has."""
