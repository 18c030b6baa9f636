"""Beside the hexagon: contract suites for authors of adapters. Nothing in chatcore imports them.

May import: standard library, pytest.

Install with the extra `testing`; the modules need pytest and hypothesis.
"""

from pkgutil import iter_modules

import pytest

# pytest shows the values in a failed assertion only for files that it collects itself, and for
# those it was told of before they are imported.
pytest.register_assert_rewrite(*(f"{__name__}.{found.name}" for found in iter_modules(__path__)))
