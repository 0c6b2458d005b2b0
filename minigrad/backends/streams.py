"""Random streams, the same on both devices: every draw is a pure function of (key, position).

Philox4x32-10 (Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC'11) turns a key of
two 32-bit words and a counter of four into four random words. A stream is its output for the counters 0, 1, 2, …
under one key. Word p of the stream is word p mod 4 of counter i = ⌊p/4⌋, whose four words are

    (low half of i, high half of i, 0, lane)

The lane says what the words are for, so that the numbers drawn from a key and the keys derived from it share no
counter. Sixteen bytes of words become sixteen bytes of numbers, so number i of a draw always comes from the same words,
wherever the draw begins and however it is divided. `numpy/streams.py` defines how words become numbers;
`cuda/streams.cu` computes the same bits.
"""

from __future__ import annotations

DRAW, SPLIT, FOLD_IN = range(3)  # lanes: for draws, and for the keys that `split` and `fold_in` derive
