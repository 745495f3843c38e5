"""`python -m remqtt script.py args...` and `python -m remqtt -m module args...`:

Paho-mqtt programs, unchanged. `python -m remqtt store PATH`: what is in a file of `persistence`.
"""

from __future__ import annotations

import os
import runpy
import sys

from . import _store
from ._behind_paho import install_as_paho

_USAGE = (
    """usage: python -m remqtt script.py [args...]
       python -m remqtt -m module [args...]
Runs a program written for paho-mqtt with remqtt in its place. A script of the name store is run as ./store.

"""
    + _store.USAGE
)


def main() -> None:
    """Runs the program that the command line names."""
    arguments = sys.argv[1:]
    if arguments[:1] == ["store"]:
        sys.exit(_store.main(arguments[1:]))
    as_module = arguments[:1] == ["-m"]
    program = arguments[as_module:]
    if not program or program[0].startswith("-"):
        wants_help = program[:1] in (["-h"], ["--help"])
        print(_USAGE, file=sys.stdout if wants_help else sys.stderr)
        sys.exit(0 if wants_help else 2)
    install_as_paho()
    sys.argv[:] = program
    # What python itself puts there.
    if as_module:
        sys.path[0] = os.getcwd()
        runpy.run_module(program[0], run_name="__main__", alter_sys=True)
    else:
        sys.path[0] = os.path.dirname(os.path.abspath(program[0]))
        runpy.run_path(program[0], run_name="__main__")


if __name__ == "__main__":
    main()
