"""Messages name arguments, or the keys that they were read from; values stay as they are."""

import pytest

from errseg.errors import ArgumentError, UsageError, arguments_from


def test_arguments_become_keys_and_values_do_not():
    error = ArgumentError("{templates}: the prompt %r needs one '{}' (%s %%).", "a {photo} of", 50)
    assert str(error) == "templates: the prompt 'a {photo} of' needs one '{}' (50 %)."
    with pytest.raises(UsageError) as raised, arguments_from("MODEL.PROMPT"):
        raise error
    assert str(raised.value) == "MODEL.PROMPT.TEMPLATES: the prompt 'a {photo} of' needs one '{}' (50 %)."


def test_other_names_and_no_section():
    with pytest.raises(UsageError, match="^MODEL.ESCF.DIM = 3, but heads = 2.$"), arguments_from(dim="MODEL.ESCF.DIM"):
        raise ArgumentError("{dim} = %s, but {heads} = %s.", 3, 2)
