"""Loops that only the benchmarks and stress tests need: empty calls to compare with, and both ends of a queue in C.

Not part of the public interface.
"""

cimport cython

cdef extern from *:
    """
    #ifndef FC_BUILD_FLAGS
    #define FC_BUILD_FLAGS ""
    #endif
    #if defined(_MSC_VER)
    #define FC_COMPILER "MSVC"
    #elif defined(__clang__)
    #define FC_COMPILER "clang " __clang_version__
    #else
    #define FC_COMPILER "gcc " __VERSION__
    #endif
    """
    const char* FC_COMPILER
    const char* FC_BUILD_FLAGS


def build():
    """Return the compiler and the flags that built the core."""
    return f"{FC_COMPILER.decode()} {FC_BUILD_FLAGS.decode()}"


@cython.final
cdef class Empty:
    """Methods that do nothing: the price of the call itself, with the arguments of the calls they stand for."""

    def none(self):
        return None

    def one_float(self, double a):
        return True

    def two_ints(self, long long a, long long b):
        return None

    def int_float_int(self, long long a, double b, long long c):
        return None

    def int_int_float_float(self, long long a, long long b, double c, double d):
        return True

    def four_floats(self, double a, double b, double c, double d):
        return None
