"""Errors that speak to the user: one line that names the place."""

from __future__ import annotations

import pytest

from grs_evo.errors import InputError, RankExit, WrongType, expect, nearest, type_of, within


def test_the_nearest_name_is_offered() -> None:
    assert nearest("ciff", ["cif", "poscar"]) == " (did you mean 'cif'?)"
    assert nearest("au", ["Ta", "Au"]) == " (did you mean 'Au'?)"
    assert nearest("qqqq", ["cif"]) == ""


def test_arguments_of_the_wrong_kind_are_named() -> None:
    expect(1, int, "n", "f(n)")
    with pytest.raises(WrongType, match=r"f\(n\): n is a str; it must be an int or a NoneType"):
        expect("1", (int, None.__class__), "n", "f(n)")
    assert type_of(None) == "None"
    assert type_of(1) == "an int"
    with pytest.raises(TypeError):
        expect("1", int, "n", "f(n)")


def test_a_place_comes_first_and_once() -> None:
    for text in ("wrong", "run.toml: wrong"):
        with pytest.raises(InputError, match=r"^run\.toml: wrong$"), within("run.toml"):
            raise InputError(text)
    assert RankExit(2).code == 2


def test_a_message_that_repeats_thousands_of_values_keeps_its_ends() -> None:
    text = str(InputError(f"run.toml: n_max = {[1] * 3000} has 3000 entries"))
    assert text.startswith("run.toml: n_max = [1, 1, ")
    assert text.endswith(" has 3000 entries")
    assert " … " in text
    assert len(text) < 2100
