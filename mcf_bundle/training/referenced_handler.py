"""A handler that a config holds elsewhere, in a form that MONAI's checks read."""

from __future__ import annotations

from typing import TypeVar

Handler = TypeVar("Handler")


def referenced_handler(handler: Handler) -> Handler:
    """Return the handler itself.

    ``check_properties`` of MONAI 1.6.1 looks up ``_target_`` in each item of ``train#handlers`` and ends in a
    TypeError on a plain reference such as "@ema". With this as the item's ``_target_`` it does not.

    >>> referenced_handler("the same")
    'the same'
    """
    return handler
