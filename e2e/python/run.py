"""Runs one case against a running system: `run.py CASE SYSTEM.json`. `run.py --list` prints the cases."""

import importlib
import pathlib
import sys
import traceback

from system import System

FOLDER = pathlib.Path(__file__).parent / "cases"


def cases():
    """All cases by name: the public functions of the modules in `cases/` that are defined there."""
    found = {}
    for path in sorted(FOLDER.glob("*.py")):
        module = importlib.import_module(f"cases.{path.stem}")
        for name, value in vars(module).items():
            if getattr(value, "is_case", False) and value.__module__ == module.__name__:
                assert name not in found, f"{name} stands there twice"
                found[name] = value
    return found


def main(arguments):
    if arguments == ["--list"]:
        print("\n".join(cases()))
        return 0
    name, path = arguments
    try:
        cases()[name](System(path))
    except Exception:  # whatever it is, the case has failed, and the harness prints why
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
