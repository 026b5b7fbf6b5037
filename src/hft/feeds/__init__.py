"""Sources of market data, as event arrays."""
