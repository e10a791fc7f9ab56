"""`grs-evo export`: what was found, and what was labelled, into files of other programs."""
