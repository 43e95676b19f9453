"""WebOb before 2.0 imports the module cgi where there is one (Python before 3.13), and Python warns about that."""

from __future__ import annotations

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import webob  # noqa: F401
