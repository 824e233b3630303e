"""Values put into the secrets' text by the program: in their place, and nothing else moves."""

import difflib
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from inventories.new_secrets import new_text
from inventories.secrets import checked
from inventories.secrets_edit import with_values
from inventories.validation import SettingsError

TEXT = new_text(["loomio"])
DRIVE = {"type": "authorized_user", "client_id": "a", "client_secret": "b'\"#: ", "refresh_token": "1//ü"}


def changed_lines(before: str, after: str) -> list[str]:
    lines = difflib.ndiff(before.splitlines(), after.splitlines())
    return [line for line in lines if line[0] in "+-"]


def test_a_new_file_gets_its_credentials_in_one_line() -> None:
    after = with_values(TEXT, {("drive", "credentials"): DRIVE})
    assert checked(after, "x").drive.credentials == DRIVE
    gone, new = changed_lines(TEXT, after)
    assert gone == "-   credentials:"
    assert new.startswith('+   credentials: {"type": "authorized_user"')
    again = with_values(after, {("drive", "credentials"): DRIVE | {"client_id": "other"}})
    assert len(changed_lines(after, again)) == 2
    assert with_values(again, {("drive", "credentials"): DRIVE}) == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "drive:\n  credentials: 1\n"),
        ("a: 1\n", "a: 1\n\ndrive:\n  credentials: 1\n"),
        ("a: 1\ndrive:\nb: 2\n", "a: 1\ndrive:\n  credentials: 1\nb: 2\n"),
        ("drive: # for later\nb: 2\n", None),
        ("drive: {}\nb: 2\n", "drive: {credentials: 1}\nb: 2\n"),
        ("drive: {other: x}\n", "drive: {other: x, credentials: 1}\n"),
        ("drive: {credentials: x, other: y}\n", "drive: {credentials: 1, other: y}\n"),
        ("drive:\n    c: x # why\n# end\nb: 2", "drive:\n    c: x # why\n    credentials: 1\n# end\nb: 2"),
        ("drive:\n  other: x", "drive:\n  other: x\n  credentials: 1"),
        ("drive:\n  credentials: # none\n", "drive:\n  credentials: 1 # none\n"),
        ("drive:\n  credentials:\n", "drive:\n  credentials: 1\n"),
        ("drive:\n  credentials: |\n    one\n    two\n\n# end\n", "drive:\n  credentials: 1\n\n# end\n"),
        ("drive:\n  credentials:\n    {\n    a: 1\n    }\nb: 2\n", "drive:\n  credentials:\n    1\nb: 2\n"),
        (
            "drive:\n  credentials:\n    a: 1\n    b: [x,\n     y]\n  # end\n  c: 3\n",
            "drive:\n  credentials:\n    1\n  # end\n  c: 3\n",
        ),
        ("drive:\n  credentials:\n  - 1\n  # end\n", None),
        ("drive: 'text'\n", None),
        ("- drive\n", None),
    ],
)
def test_every_way_to_write_it(before: str, after: str | None) -> None:
    if after is None:
        try:
            result = with_values(before, {("drive", "credentials"): 1})
        except SettingsError as error:
            assert "drive.credentials cannot be put into the secrets" in str(error)
        else:
            assert yaml.safe_load(result)["drive"]["credentials"] == 1
        return
    assert with_values(before, {("drive", "credentials"): 1}) == after


def test_several_at_once_and_text_of_many_lines() -> None:
    values: dict[tuple[str, str], Any] = {
        ("encryption", "legacy_passphrase"): "a: b # c\n'\"",
        ("encryption", "other"): ["x", "y"],
        ("new", "key"): "-----BEGIN\nabc\n-----END\n",
    }
    found = yaml.safe_load(with_values(TEXT, values))
    assert all(found[group][key] == value for (group, key), value in values.items())
    assert "# Signs the list of what each backup holds" in with_values(TEXT, values)


def test_what_is_not_yaml_stays_as_it_is() -> None:
    for text in ("a: {", "a: \x07"):
        with pytest.raises(SettingsError, match="not valid YAML"):
            with_values(text, {("a", "b"): 1})


@settings(deadline=None, max_examples=200)
@given(st.text() | st.lists(st.text()) | st.dictionaries(st.text(), st.text()))
def test_any_value_comes_back_or_is_refused(value: Any) -> None:
    try:
        after = with_values(TEXT, {("drive", "credentials"): value})
    except SettingsError:
        return
    assert yaml.safe_load(after)["drive"]["credentials"] == value
