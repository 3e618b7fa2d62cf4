"""The error browser: one page that shows every utterance of a score, with sound where it is known.

`data` turns a score into JSON; `recordings` finds the sound of utterances, `spectrogram` draws it,
`posteriors` has a model hear it; `page` puts all into one file. What the page does with it is in
`page.js` (filter, list and keyboard), `confusions.js` and `timeline.js`.
"""
