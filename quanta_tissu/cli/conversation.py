"""What `tissu chat` shows the model: the conversation as plain text.

A base model has learned to continue text, and has no markup for turns. So the conversation is written as a
dialogue that it can continue; a blank line would often end a document, hence single line breaks:

    User: What is a tuple?
    Assistant: An immutable sequence.
    User: And a list?
    Assistant:

The answer ends where the model begins the user's next line. A raw conversation has no names: the model continues
exactly what was typed, and every later message starts on a new line after its answer.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Conversation:
    """Messages and answers, and the text that they make.

    Attributes:
        user: Name of the person in the dialogue.
        assistant: Name of the model in the dialogue.
        raw: Leave the names out.
        turns: Messages with their answers.
    """

    user: str = "User"
    assistant: str = "Assistant"
    raw: bool = False
    turns: list[tuple[str, str]] = field(default_factory=list)

    @property
    def stop(self) -> list[str]:
        """Strings that end an answer."""
        return [] if self.raw else [f"\n{self.user}:"]

    def prompt(self, message: str) -> str:
        """The whole conversation up to the answer to `message`."""
        return self.text() + (message if self.raw else f"{self.user}: {message}\n{self.assistant}:")

    def add(self, message: str, answer: str) -> None:
        """Remember a message and its answer; a dialogue keeps no space around an answer."""
        self.turns.append((message, answer if self.raw else answer.strip()))

    def text(self) -> str:
        """The conversation so far."""
        if self.raw:
            return "".join(f"{said}{answer}\n" for said, answer in self.turns)
        return "".join(f"{self.user}: {said}\n{self.assistant}: {answer}\n" for said, answer in self.turns)
