"""Makers of inputs: what tests feed to readers, books, venues, engines and stores; one file per kind of input."""
