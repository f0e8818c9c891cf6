"""Which tokens of a vocabulary may come next, so that a model writes what a grammar describes.

The tokens form a tree by their bytes. For a state of the grammar the tree is walked once, along what the state
allows; what is found is kept. For each token that may come it is known how many bytes the text then needs at
least. A token writes at least a byte, so a token is allowed only if as many tokens are left: however a model
rambles, its text is whole when its tokens are used up.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quanta_tissu.tisslang.llm.grammar import ENDLESS, Automaton, Node, State
from quanta_tissu.tisslm.tokenizers.base import Tokenizer

_KEPT = 256  # states whose tokens are kept
_BLANKS = frozenset(b" \n")


class Vocabulary:
    """The tokens of a tokenizer as a tree of their bytes. Special tokens are no text, and are not in it.

    Args:
        tokenizer: The tokenizer.
        size: Numbers of logits, which may be more than the tokenizer has tokens.

    Attributes:
        alphabet: Bytes that tokens can write.
    """

    def __init__(self, tokenizer: Tokenizer, size: int) -> None:
        self.size = size
        self._tokenizer = tokenizer
        special = set(tokenizer.special_tokens.values())
        self._root: dict[int, Any] = {}  # byte -> (tokens that end here, what follows)
        self.alphabet: set[int] = set()
        for token in range(min(size, tokenizer.vocab_size)):
            data = tokenizer.token_bytes(token)
            if token in special or not data:
                continue
            self.alphabet.update(data)
            below = self._root
            for byte in data[:-1]:
                below = below.setdefault(byte, ([], {}))[1]
            below.setdefault(data[-1], ([], {}))[0].append(token)

    def token_bytes(self, token: int) -> bytes:
        """What a token writes."""
        return self._tokenizer.token_bytes(token)

    def needs(self, state: State) -> NDArray[np.int32]:
        """Bytes that a text needs at least behind each token, (V); `ENDLESS` behind those that may not come."""
        needs = np.full(self.size, ENDLESS, np.int32)
        waiting = [(self._root, state)]
        while waiting:
            below, before = waiting.pop()
            for byte in before.next & below.keys():
                after = before.step(byte)
                if after is not None:
                    tokens, further = below[byte]
                    for token in tokens:
                        needs[token] = after.least
                    if further:
                        waiting.append((further, after))
        return needs


class Mask:
    """Follows a text token by token.

    Args:
        vocabulary: The tokens.
        grammar: What is written.

    Attributes:
        least: Tokens that the shortest text may need; `ENDLESS` if the vocabulary cannot write any.
    """

    def __init__(self, vocabulary: Vocabulary, grammar: Node) -> None:
        self._vocabulary = vocabulary
        self._state = Automaton(grammar, vocabulary.alphabet).start
        self._needs: OrderedDict[State, NDArray[np.int32]] = OrderedDict()
        self.least = self._state.least

    @property
    def complete(self) -> bool:
        """Whether the text is one that the grammar describes."""
        return self._state.ends

    @property
    def over(self) -> bool:
        """Whether it is, and nothing but blanks could come."""
        return self._state.ends and self._state.next <= _BLANKS

    def allowed(self, left: int) -> NDArray[np.bool_]:
        """Tokens that may come next, (V), if `left` tokens may be written, this one included."""
        needs = self._needs.pop(self._state, None)
        if needs is None:
            needs = self._vocabulary.needs(self._state)
        self._needs[self._state] = needs  # the newest stands last
        if len(self._needs) > _KEPT:
            self._needs.popitem(last=False)
        return needs < left

    def take(self, token: int) -> None:
        """Go on behind a token that was allowed.

        Raises:
            ValueError: It was not.
        """
        after = self._state.read(self._vocabulary.token_bytes(token))
        if after is None:
            raise ValueError(f"token {token} may not come here")
        self._state = after
