"""Methods decide a property: search, reduction, rate, attack, sample, reference comparison. None imports another."""
