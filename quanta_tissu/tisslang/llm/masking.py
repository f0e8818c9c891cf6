"""Which tokens of a vocabulary may come next, so that a model writes what a grammar describes.

The tokens form a tree by their bytes. For a state of the grammar the tree is walked once along what the state
allows, level by level, all nodes of a level at once; what is found is kept. For each token that may come it is
known how many bytes the text then needs at least. A token writes at least a byte, so a token is allowed only if as
many tokens are left: however a model rambles, its text is whole when its tokens are used up.
"""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray

from quanta_tissu.tisslang.llm.grammar import ENDLESS, Automaton, Node, State
from quanta_tissu.tisslm.tokenizers.base import Tokenizer

_KEPT = 256  # states whose tokens are kept
_BLANKS = frozenset(b" \n")
_NOWHERE, _UNKNOWN = -1, -2  # numbers of states that are none


class Vocabulary:
    """The tokens of a tokenizer as a tree of their bytes. Special tokens are no text, and are not in it.

    Node 0 is the root. Letters: N nodes, V tokens.

    Args:
        tokenizer: The tokenizer.
        size: Numbers of logits, which may be more than the tokenizer has tokens.

    Attributes:
        size: V.
        alphabet: Bytes that tokens can write.
        node_of: The node where each token ends, (V); 0 of those that are not in the tree.
        bytes: The byte that leads to each node, (N).
        children: Nodes in the order of their parents, (N - 1).
        first: Where the children of each node begin in `children`, (N + 1).
    """

    def __init__(self, tokenizer: Tokenizer, size: int) -> None:
        self.size = size
        self._tokenizer = tokenizer
        special = set(tokenizer.special_tokens.values())
        nodes: dict[tuple[int, int], int] = {}  # parent and byte
        self.node_of = np.zeros(size, np.int64)
        for token in range(min(size, tokenizer.vocab_size)):
            if token not in special:
                node = 0
                for byte in tokenizer.token_bytes(token):
                    node = nodes.setdefault((node, byte), len(nodes) + 1)
                self.node_of[token] = node
        parents, letters = np.array([*nodes], np.int64).reshape(-1, 2).T
        self.alphabet = frozenset(letters.tolist())
        self.bytes = np.concatenate([[0], letters])
        self.children = np.argsort(parents, kind="stable") + 1
        self.first = np.searchsorted(np.sort(parents), np.arange(len(nodes) + 2))

    def token_bytes(self, token: int) -> bytes:
        """What a token writes."""
        return self._tokenizer.token_bytes(token)


class _Walker:
    """Walks the tree of a vocabulary along the states of a grammar, which it numbers. Letter: S states."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._numbers: dict[State, int] = {}
        self._states: list[State] = []
        self._moves = np.full((64, 256), _UNKNOWN, np.int32)  # (S, byte) -> state
        self._least = np.zeros(64, np.int32)  # (S)

    def needs(self, state: State) -> NDArray[np.int32]:
        """Bytes that a text needs at least behind each token, (V); `ENDLESS` behind those that may not come."""
        tree = self._vocabulary
        reached = np.full(len(tree.bytes), _NOWHERE, np.int32)  # (N) states
        level = np.zeros(1, np.int64)
        reached[0] = self._number(state)
        while len(level):
            counts = tree.first[level + 1] - tree.first[level]
            ends = np.cumsum(counts)
            places = np.arange(ends[-1]) + np.repeat(tree.first[level] - (ends - counts), counts)
            below = tree.children[places]
            after = self._step(np.repeat(reached[level], counts), tree.bytes[below])
            level = below[after >= 0]
            reached[level] = after[after >= 0]
        reached[0] = _NOWHERE  # what is not in the tree may not come
        found = reached[tree.node_of]
        return np.where(found >= 0, self._least[found], np.int32(ENDLESS))

    def _step(self, states: NDArray[np.int32], letters: NDArray[np.int64]) -> NDArray[np.int32]:
        """Where states go by bytes; only what was never asked for is worked out."""
        after: NDArray[np.int32] = self._moves[states, letters]
        if (after == _UNKNOWN).any():
            for pair in np.unique(states[after == _UNKNOWN] * 256 + letters[after == _UNKNOWN]).tolist():
                number, byte = divmod(pair, 256)
                found = self._states[number].step(byte)
                self._moves[number, byte] = _NOWHERE if found is None else self._number(found)
            after = self._moves[states, letters]
        return after

    def _number(self, state: State) -> int:
        number = self._numbers.setdefault(state, len(self._states))
        if number == len(self._states):
            self._states.append(state)
            if number == len(self._least):
                self._moves = np.concatenate([self._moves, np.full_like(self._moves, _UNKNOWN)])
                self._least = np.concatenate([self._least, np.zeros_like(self._least)])
            self._least[number] = state.least
        return number


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
        self._walker = _Walker(vocabulary)
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
            needs = self._walker.needs(self._state)
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
