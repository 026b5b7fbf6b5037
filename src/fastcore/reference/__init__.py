"""Plain-Python twins of the compiled modules: the same names and results, written to be read.

They are the specification that the tests hold the compiled modules to, and a baseline for the benchmarks; nothing
falls back to them.
"""
