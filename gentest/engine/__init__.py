"""How a property is decided: evidence in full batches, margins, search, reduction, and one driver over them."""
