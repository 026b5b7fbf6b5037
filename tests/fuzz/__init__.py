"""Mutation fuzzing of everything that reads bytes from outside: valid inputs are damaged, and laws must still hold.

    python tests/fuzz --list
    python tests/fuzz TARGET [--seconds N | --iterations N] [--seed S] [--keep DIRECTORY]
    python tests/fuzz TARGET --file INPUT        one input that was kept

The engine is in engine.py; each format has a file of its own here, with its targets.
"""
