"""The ways to decide a property: search, reduction, rate, radius, distribution, attack. None imports another."""
