"""Strategies that come with the package, on the contract that others can use too (``fastcore.strategy``)."""
