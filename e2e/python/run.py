"""Runs one case against a running system: `run.py CASE SYSTEM.json`. `run.py --list FOLDER` prints the cases of `cases`, `bad_input` or `administration`."""

import importlib
import pathlib
import sys
import traceback

from system import System

FOLDERS = ("cases", "bad_input", "administration")


def cases(*folders):
    """All cases by name: the public functions of the modules in these folders that are defined there."""
    found = {}
    for path in sorted(path for folder in folders for path in (pathlib.Path(__file__).parent / folder).glob("*.py")):
        module = importlib.import_module(f"{path.parent.name}.{path.stem}")
        for name, value in vars(module).items():
            if getattr(value, "is_case", False) and value.__module__ == module.__name__:
                assert name not in found, f"{name} stands there twice"
                found[name] = value
    return found


def main(arguments):
    name, path = arguments
    if name == "--list":
        print("\n".join(cases(path)))
        return 0
    try:
        cases(*FOLDERS)[name](System(path))
    except Exception:  # whatever it is, the case has failed, and the harness prints why
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
