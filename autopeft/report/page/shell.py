"""What every page is made with: templates, a look, and a policy that allows no more than it has."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import Any


def policy(*, scripts: Sequence[str], styles: Sequence[str]) -> str:
    """Return the content security policy that allows these scripts and styles, and nothing else."""
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src {' '.join(map(_hash, scripts))}",
            f"style-src {' '.join(map(_hash, styles))}",
            "img-src data:",
            "connect-src 'none'",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )


@cache
def asset(name: str) -> str:
    """Return the text of a style or a script beside this file."""
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def raw(text: str) -> Any:
    """Return text of our own that templates do not escape."""
    from markupsafe import Markup

    return Markup(text)


def fill(template: str, **values: Any) -> str:
    """Return a page as HTML; signs that UTF-8 cannot hold are replaced."""
    page: str = _environment().get_template(template).render(**values)
    return page.encode("utf-8", "replace").decode("utf-8")


@cache
def _environment() -> Any:
    """Return the templates; what they are given is escaped, what they lack is an error."""
    import jinja2

    return jinja2.Environment(
        loader=jinja2.PackageLoader(__package__),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
