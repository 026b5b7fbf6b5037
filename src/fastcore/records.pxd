"""The records of the core, for ``cimport``: the same declarations as ``_types``."""

from fastcore._types cimport event_t, tick_t
