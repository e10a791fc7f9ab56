"""Compiled: BLAKE2b with digests of eight bytes (RFC 7693), for the content keys of many occupations."""

from __future__ import annotations

import numpy as np

from grs_evo.kernels.compiling import inner

# 64-bit words of a block of the message.
BLOCK_WORDS = 16
_IV = np.array(
    [
        0x6A09E667F3BCC908, 0xBB67AE8584CAA73B, 0x3C6EF372FE94F82B, 0xA54FF53A5F1D36F1,
        0x510E527FADE682D1, 0x9B05688C2B3E6C1F, 0x1F83D9ABFB41BD6B, 0x5BE0CD19137E2179,
    ],
    np.uint64,
)  # fmt: skip
_SIGMA = np.array(
    [
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
        [14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3],
        [11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4],
        [7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8],
        [9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13],
        [2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9],
        [12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11],
        [13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10],
        [6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5],
        [10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0],
    ]
)
# Which four words of the state each of the eight mixings of a round takes.
_LANES = np.array(
    [
        [0, 4, 8, 12], [1, 5, 9, 13], [2, 6, 10, 14], [3, 7, 11, 15],
        [0, 5, 10, 15], [1, 6, 11, 12], [2, 7, 8, 13], [3, 4, 9, 14],
    ]
)  # fmt: skip
# 0x01010000 of an unkeyed hash in one piece, and the digest's length.
_PARAMETERS = np.uint64(0x01010008)
_ALL = np.uint64(0xFFFFFFFFFFFFFFFF)
_32, _24, _16, _63, _8, _40, _48, _1 = (np.uint64(k) for k in (32, 24, 16, 63, 8, 40, 48, 1))


@inner
def digest64(words, n_bytes, state, chain):
    """The eight bytes of the digest of a message as a number, the first byte the lowest.

    Parameters
    ----------
    words : (k * BLOCK_WORDS,) uint64, the message, filled up with zeros to whole blocks
    n_bytes : of the message, at least one
    state, chain : (16,) and (8,) uint64 to work on
    """
    for k in range(8):
        chain[k] = _IV[k]
    chain[0] ^= _PARAMETERS
    n_blocks = words.shape[0] // BLOCK_WORDS
    for block in range(n_blocks):
        last = block == n_blocks - 1
        for k in range(8):
            state[k] = chain[k]
            state[k + 8] = _IV[k]
        state[12] ^= np.uint64(n_bytes if last else 8 * BLOCK_WORDS * (block + 1))
        if last:
            state[14] ^= _ALL
        first = BLOCK_WORDS * block
        for turn in range(12):
            for m in range(8):
                x = words[first + _SIGMA[turn % 10, 2 * m]]
                y = words[first + _SIGMA[turn % 10, 2 * m + 1]]
                a, b, c, d = (
                    state[_LANES[m, 0]], state[_LANES[m, 1]], state[_LANES[m, 2]], state[_LANES[m, 3]]
                )  # fmt: skip
                a = a + b + x
                d ^= a
                d = (d >> _32) | (d << _32)
                c = c + d
                b ^= c
                b = (b >> _24) | (b << _40)
                a = a + b + y
                d ^= a
                d = (d >> _16) | (d << _48)
                c = c + d
                b ^= c
                b = (b >> _63) | (b << _1)
                state[_LANES[m, 0]], state[_LANES[m, 1]] = a, b
                state[_LANES[m, 2]], state[_LANES[m, 3]] = c, d
        for k in range(8):
            chain[k] ^= state[k] ^ state[k + 8]
    return chain[0]
