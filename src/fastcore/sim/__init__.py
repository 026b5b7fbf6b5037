"""Simulation: a venue beside a recorded book, and a synthetic market."""
