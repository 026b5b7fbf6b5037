"""Build the compiled modules of hft-fastcore; metadata and tool settings are in pyproject.toml.

Switches (environment):
    FASTCORE_DEBUG=1          bounds, None and initialisation checks and fc_assert on, -O1 -g
    FASTCORE_SANITIZE=LIST    -fsanitize=LIST, for example "address,undefined" or "thread"
"""

import os
import sys
from glob import glob
from pathlib import Path

import numpy
from Cython import __version__ as cython_version
from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

# One extension per concept, from the ground up: a module imports only modules above it.
MODULES = (
    *("records", "clock", "histogram", "_slots", "ring", "broadcast", "symbols", "money", "instruments"),
    *("zscore", "correlation", "avellaneda", "flow", "tickstore", "replaced", "book", "bookset", "portfolio", "risk"),
    *("market", "stopwatch", "source", "ring_source", "merge", "strategy", "desk", "journal", "engine"),
    *(f"wire.{name}" for name in "tally itch mold soup ouch dbn lobster decimals _lines _forms _chain binance kraken itch_source".split()),
    *(f"sim.{name}" for name in ("synthetic", "latency", "queues", "venue", "markouts", "simulator")),
    *(*(f"strategies.{name}" for name in ("maker", "tape", "batches", "rows", "hooks", "foreign", "compiled")), "_bench"),
)
UTILITY = "_cyutility"  # Cython's own helpers once, instead of a copy in every module

DEBUG = os.environ.get("FASTCORE_DEBUG", "0") == "1"
SANITIZE = os.environ.get("FASTCORE_SANITIZE", "")

# Checks differ between builds; semantics never do.
DIRECTIVES = {
    "language_level": 3,
    **dict.fromkeys(("boundscheck", "initializedcheck", "nonecheck"), DEBUG),
    "wraparound": False,
    "cdivision": True,
    "auto_pickle": False,
    "binding": False,
    "embedsignature": True,
    "embedsignature.format": "clinic",
}

MACROS = [("NPY_NO_DEPRECATED_API", "NPY_1_7_API_VERSION"), *[("FC_DEBUG", "1")] * DEBUG]
if sys.platform == "win32":
    FLAGS, LINK = ["/O2", "/std:c11", "/W3", "/fp:precise"], []
else:
    FLAGS = ["-std=c11", "-Wall", "-Wextra", "-Wno-unused-parameter", "-fvisibility=hidden", "-ffp-contract=off"]
    FLAGS += ["-O1", "-g"] if DEBUG or SANITIZE else ["-O3", "-g0"]
    LINK = [] if DEBUG or SANITIZE or sys.platform == "darwin" else ["-Wl,-s"]
if SANITIZE:
    FLAGS += [f"-fsanitize={SANITIZE}", "-fno-omit-frame-pointer"]
    LINK += [f"-fsanitize={SANITIZE}"]
MACROS.append(("FC_BUILD_FLAGS", '"' + " ".join(FLAGS) + '"'))
STAMP = Path("build/switches.txt")
SWITCHES = f"{sys.version} {cython_version} {numpy.__version__} {FLAGS} {MACROS}"
FORCE = STAMP.exists() and STAMP.read_text() != SWITCHES  # nothing of a build with other switches may be reused
# C files newer than all of our sources are up to date, whatever the age of the declarations in a fresh build environment.
MADE = glob("src/fastcore/**/*.c", recursive=True)
SOURCES = ["setup.py", *glob("src/fastcore/**/*.p[yx][xd]", recursive=True)]
ALL_MADE = STAMP.exists() and not FORCE and len(MADE) == len(MODULES) + 1
CURRENT = ALL_MADE and min(map(os.path.getmtime, MADE)) > max(map(os.path.getmtime, SOURCES))


class BuildExtensions(build_ext):
    def build_extensions(self):
        self.force = self.force or FORCE
        # An interpreter outside the system prefix links with its own library path, which must not travel in a wheel.
        if hasattr(self.compiler, "linker_so"):
            self.compiler.linker_so = [word for word in self.compiler.linker_so if "-rpath" not in word]
        super().build_extensions()
        STAMP.parent.mkdir(exist_ok=True)
        STAMP.write_text(SWITCHES)


def extension(name, suffix=".pyx"):
    return Extension(
        f"fastcore.{name}",
        [f"src/fastcore/{name.replace('.', '/')}{suffix}"],
        include_dirs=["src/fastcore/_c", numpy.get_include()],
        define_macros=MACROS,
        extra_compile_args=FLAGS,
        extra_link_args=LINK,
        depends=sorted(glob("src/fastcore/_c/*.h")),
    )


extensions = [extension(name, ".c" if CURRENT else ".pyx") for name in MODULES] + [extension(UTILITY, ".c")]
if not CURRENT and not {"egg_info", "dist_info", "sdist"} & set(sys.argv):  # those ask for names only
    extensions = cythonize(
        extensions,
        compiler_directives=DIRECTIVES,
        shared_utility_qualified_name=f"fastcore.{UTILITY}",
        include_path=["src"],
        nthreads=0 if sys.platform == "win32" else os.cpu_count() or 0,
        force=FORCE,
    )
setup(ext_modules=extensions, cmdclass={"build_ext": BuildExtensions})
