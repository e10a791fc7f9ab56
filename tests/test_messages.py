"""Messages between ranks keep every bit, and hold no objects."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from grs_evo.parallel.messages import array_text, decode, encode, text_array

_ARRAYS = hnp.arrays(
    st.sampled_from(["<f8", "<i8", "<i4", "<u8", "|u1", "|b1", "|S7"]),
    hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=4),
)


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(st.text("abc._", min_size=1, max_size=9), _ARRAYS, max_size=5))
def test_messages_keep_every_bit(arrays: dict[str, np.ndarray]) -> None:
    found = decode(encode(arrays))
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        assert found[name].shape == array.shape
        assert found[name].tobytes() == array.tobytes()


def test_messages_hold_no_objects() -> None:
    with pytest.raises(ValueError, match="cannot be sent"):
        encode({"a": np.array([{}], dtype=object)})
    assert array_text(text_array("Å ∂")) == "Å ∂"
