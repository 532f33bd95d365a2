"""The bench that counts which broken checkpoints gentest catches: models, ways to break them, judgements, accounts."""
