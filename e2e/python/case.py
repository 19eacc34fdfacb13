"""What marks a case."""


def case(function):
    """A sentence that must hold; `run.py` finds it."""
    function.is_case = True
    return function
