"""Grammars over bytes, and the automaton that reads them: which bytes may come next, and how soon it can be over.

A grammar is a tree of nodes; rules may name themselves, so it describes nested things. A state of the automaton is
a set of stacks of nodes that are still to be read (a pushdown automaton, made deterministic as far as it is used).
Equal states are one object, so what is worked out for a state, such as the tokens that it allows, is kept with it.

Every state knows the least number of bytes that end it well, so that a model can be led to the end in time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property

ENDLESS = 1 << 30
"""A number of bytes that is never reached: there is no end."""


class Node:
    """A part of a grammar; equal to itself only."""

    __slots__ = ()


class Bytes(Node):
    """Exactly these bytes."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data


class OneOf(Node):
    """One byte out of a set."""

    __slots__ = ("members",)

    def __init__(self, members: Iterable[int]) -> None:
        self.members = frozenset(members)


class Sequence(Node):
    """Nodes one after the other."""

    __slots__ = ("items",)

    def __init__(self, *items: Node) -> None:
        self.items = items


class Choice(Node):
    """One of several nodes."""

    __slots__ = ("items",)

    def __init__(self, *items: Node) -> None:
        self.items = items


class Repeat(Node):
    """A node several times, at least and at most so often (None: as often as one likes)."""

    __slots__ = ("item", "least", "most")

    def __init__(self, item: Node, least: int = 0, most: int | None = None) -> None:
        self.item = item
        self.least = least
        self.most = most


class Rule(Node):
    """A node that is made when it is needed, so that rules can name each other."""

    def __init__(self, make: Callable[[], Node]) -> None:
        self._make = make

    @cached_property
    def node(self) -> Node:
        """What it stands for."""
        return self._make()


class Stack:
    """Nodes that are still to be read: one, and those below it. None below the last."""

    __slots__ = ("below", "edges", "ends", "node")

    def __init__(self, node: Node, below: Stack | None) -> None:
        self.node = node
        self.below = below
        self.edges: list[tuple[frozenset[int], Stack | None]] | None = None
        self.ends = False


class State:
    """Where the automaton is.

    Attributes:
        stacks: What may still be read; None among them: nothing.
        ends: Whether what was read is complete.
        least: Bytes until it can be, at least.
        next: Bytes that may come.
    """

    __slots__ = ("_automaton", "_moves", "ends", "least", "next", "stacks")

    def __init__(self, automaton: Automaton, stacks: frozenset[Stack | None]) -> None:
        self._automaton = automaton
        self.stacks = stacks
        edges = [edge for stack in stacks if stack is not None for edge in automaton.edges(stack)]
        self.ends = any(stack is None or stack.ends for stack in stacks)
        self.least = min((automaton.least(stack) for stack in stacks), default=ENDLESS)
        self.next = frozenset(byte for members, _ in edges for byte in members)
        self._moves: dict[int, State | None] = {}

    def step(self, byte: int) -> State | None:
        """Read a byte; None if it may not come."""
        try:
            return self._moves[byte]
        except KeyError:
            found = self._moves[byte] = self._automaton.move(self, byte)
            return found

    def read(self, data: bytes) -> State | None:
        """Read several bytes; None if they may not come."""
        state: State | None = self
        for byte in data:
            state = None if state is None else state.step(byte)
        return state


class Automaton:
    """Reads what a grammar describes.

    Args:
        grammar: The grammar.
        alphabet: Bytes that can be written at all; by default every one.

    Attributes:
        start: The state before anything is read.
    """

    def __init__(self, grammar: Node, alphabet: Iterable[int] = range(256)) -> None:
        self._alphabet = frozenset(alphabet)
        self._stacks: dict[tuple[int, int], Stack] = {}
        self._shorter: dict[bytes, Node] = {}
        self._less: dict[Repeat, Repeat] = {}
        self._states: dict[frozenset[Stack | None], State] = {}
        self._lengths = self._shortest(grammar)
        self._least: dict[Stack | None, int] = {None: 0}
        self.start = self._state(frozenset([self._stack(grammar, None)]))

    def move(self, state: State, byte: int) -> State | None:
        """Where a byte leads; None: nowhere."""
        found = frozenset(
            below
            for stack in state.stacks
            if stack is not None
            for members, below in self.edges(stack)
            if byte in members
        )
        return self._state(found) if found else None

    def edges(self, stack: Stack) -> list[tuple[frozenset[int], Stack | None]]:
        """Bytes that may come first, each set with what is to be read after it."""
        if stack.edges is not None:
            return stack.edges
        edges: list[tuple[frozenset[int], Stack | None]] = []
        seen: set[Stack] = set()
        waiting: list[Stack | None] = [stack]
        while waiting:
            top = waiting.pop()
            if top is None:
                stack.ends = True
                continue
            if top in seen:
                continue
            seen.add(top)
            match top.node:
                case Bytes(data=b""):
                    waiting.append(top.below)
                case Bytes(data=data):
                    rest = self._rest_of_bytes(data)
                    edges.append((frozenset(data[:1]), self._stack(rest, top.below) if data[1:] else top.below))
                case OneOf(members=members):
                    edges.append((members & self._alphabet, top.below))
                case Sequence(items=items):
                    below = top.below
                    for item in reversed(items):
                        below = self._stack(item, below)
                    waiting.append(below)
                case Choice(items=items):
                    waiting += [self._stack(item, top.below) for item in items]
                case Repeat(item=item, least=least, most=most) as repeat:
                    if least == 0:
                        waiting.append(top.below)
                    if most is None or most > 0:
                        waiting.append(self._stack(item, self._stack(self._once_less(repeat), top.below)))
                case Rule() as rule:
                    waiting.append(self._stack(rule.node, top.below))
        stack.edges = [edge for edge in edges if edge[0]]
        return stack.edges

    def least(self, stack: Stack | None) -> int:
        """Bytes of the shortest text that a stack describes."""
        path: list[Stack] = []
        while stack is not None and stack not in self._least:
            path.append(stack)
            stack = stack.below
        total = self._least[stack]
        for one in reversed(path):
            total = self._least[one] = min(ENDLESS, total + self._length(one.node))
        return total

    # -- keeping equal things one object --------------------------------------------------------------------------

    def _stack(self, node: Node, below: Stack | None) -> Stack:
        key = (id(node), id(below))
        found = self._stacks.get(key)
        if found is None:
            found = self._stacks[key] = Stack(node, below)
        return found

    def _state(self, stacks: frozenset[Stack | None]) -> State:
        found = self._states.get(stacks)
        if found is None:
            found = self._states[stacks] = State(self, stacks)
        return found

    def _rest_of_bytes(self, data: bytes) -> Node:
        return self._shorter.setdefault(data[1:], Bytes(data[1:]))

    def _once_less(self, repeat: Repeat) -> Node:
        if repeat.most is None and repeat.least == 0:
            return repeat
        found = self._less.get(repeat)
        if found is None:
            most = None if repeat.most is None else repeat.most - 1
            found = self._less[repeat] = Repeat(repeat.item, max(0, repeat.least - 1), most)
        return found

    # -- the shortest text ----------------------------------------------------------------------------------------

    def _shortest(self, grammar: Node) -> dict[Rule, int]:
        """Bytes of the shortest text of each rule: the least fixed point, from "endless" down."""
        rules: dict[Rule, int] = {}
        order: list[Rule] = []  # each behind those that it needs, where they do not need it
        waiting: list[tuple[Node, bool]] = [(grammar, False)]
        while waiting:
            match waiting.pop():
                case (Sequence(items=items) | Choice(items=items), _):
                    waiting += [(item, False) for item in items]
                case (Repeat(item=item), _):
                    waiting.append((item, False))
                case (Rule() as rule, True):
                    order.append(rule)
                case (Rule() as rule, False) if rule not in rules:
                    rules[rule] = ENDLESS
                    waiting += [(rule, True), (rule.node, False)]
        self._lengths = rules
        changed = True
        while changed:
            changed = False
            for rule in order:
                length = self._length(rule.node)
                if length < rules[rule]:
                    rules[rule], changed = length, True
        return rules

    def _length(self, node: Node) -> int:
        match node:
            case Bytes(data=data):
                return len(data) if self._alphabet.issuperset(data) else ENDLESS
            case OneOf(members=members):
                return 1 if members & self._alphabet else ENDLESS
            case Sequence(items=items):
                return min(ENDLESS, sum(map(self._length, items)))
            case Choice(items=items):
                return min(map(self._length, items), default=ENDLESS)
            case Repeat(item=item, least=least):
                return min(ENDLESS, least * self._length(item)) if least else 0
            case Rule() as rule:
                return self._lengths[rule]
        raise TypeError(f"{type(node).__name__} is no node")
