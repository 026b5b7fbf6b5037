"""The benchmark suite: installed as ``hft.bench``, run as ``hft bench`` or, in a checkout, ``python -m bench.bench_ring``."""
