"""A candidate's results against a baseline: `decision` weighs every claim, `baseline` is the file of a blessed
checkpoint, `embedded` how embeddings are kept in it. Results and files in, a decision out: no torch."""
