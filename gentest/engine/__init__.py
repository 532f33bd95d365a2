"""The engine: evidence in full batches, margins, the methods that decide, and one driver over them."""
