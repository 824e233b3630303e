"""The one way a template becomes text: named variables only, and a missing one is an error."""

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from deploys.steps.paths import TEMPLATES

_ENVIRONMENT = Environment(
    loader=FileSystemLoader(TEMPLATES),
    undefined=StrictUndefined,
    keep_trailing_newline=True,
    autoescape=False,  # noqa: S701 - none of them is HTML
)


def render(template: str, **variables: object) -> str:
    """The text of `templates/<template>` with these variables and no others."""
    return _ENVIRONMENT.get_template(template).render(variables)
