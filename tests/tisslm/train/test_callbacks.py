from __future__ import annotations

import pytest

from quanta_tissu.tisslm.train.callbacks import Callback, Callbacks
from quanta_tissu.tisslm.train.reports import Message


class Broken(Callback):
    calls = 0

    def on_step(self, report):
        self.calls += 1
        raise ValueError("out of ink")


def test_all_are_told_in_order():
    heard = []

    class Listener(Callback):
        def __init__(self, name):
            self.name = name

        def on_checkpoint(self, report):
            heard.append((self.name, report))

    Callbacks([Listener("a"), Listener("b")]).on_checkpoint("saved")
    assert heard == [("a", "saved"), ("b", "saved")]


@pytest.mark.parametrize(
    "hook",
    ["prepare", "start", "step", "evaluate", "histograms", "checkpoint", "message", "end"],
)
def test_every_hook_reaches_the_callbacks(hook):
    heard = []
    listener = type("Listener", (Callback,), {f"on_{hook}": lambda self, report: heard.append(report)})()
    getattr(Callbacks([Callback(), listener]), f"on_{hook}")("report")
    assert heard == ["report"]


def test_one_that_fails_is_reported_and_left_out_and_the_others_go_on(recorder):
    broken = Broken()
    callbacks = Callbacks([broken, recorder])
    with pytest.warns(RuntimeWarning, match="Broken failed in on_step.*out of ink"):
        callbacks.on_step("first")
    callbacks.on_step("second")
    assert recorder.steps == ["first", "second"]
    assert broken.calls == 1
    assert recorder.messages[0].level == "warning"
    assert "out of ink" in recorder.messages[0].text


def test_one_that_fails_at_hearing_of_failures_ends_too(recorder):
    class Deaf(Broken):
        def on_message(self, message):
            raise RuntimeError("what?")

    callbacks = Callbacks([Broken(), Deaf(), recorder])
    with pytest.warns(RuntimeWarning):
        callbacks.on_step("report")
    assert len(recorder.messages) == 2
    callbacks.on_message(Message("still here"))
    assert recorder.messages[-1].text == "still here"


def test_training_goes_on_without_a_broken_callback(config, make_trainer, recorder):
    trainer = make_trainer(config(), callbacks=[Broken(), recorder])
    with pytest.warns(RuntimeWarning, match="out of ink"):
        assert trainer.run().stopped == "finished"
    assert len(recorder.steps) == 6


def test_ctrl_c_in_a_callback_is_not_swallowed():
    class Interrupted(Callback):
        def on_step(self, report):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Callbacks([Interrupted()]).on_step("report")
