"""The server: which question goes where, and when mistakes are said without being asked."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from lsprotocol import types as lsp
from pygls.exceptions import JsonRpcInvalidParams
from pygls.lsp.server import LanguageServer
from pygls.uris import to_fs_path

from quanta_tissu import __version__
from quanta_tissu.errors import ScriptError
from quanta_tissu.tisslang.diagnostics.diagnostic import Diagnostic
from quanta_tissu.tisslang.lsp import colouring, completing, diagnosing, hovering, navigating, outlining
from quanta_tissu.tisslang.lsp.library import Known, Library
from quanta_tissu.tisslang.source import Span
from quanta_tissu.tisslang.syntax.formatter import format_script

PAUSE = 0.1
"""Seconds without a change before mistakes are looked for, so that typing is not slowed down."""


class Server(LanguageServer):
    """A language server for TissLang."""

    def __init__(self) -> None:
        super().__init__("tissu", __version__, text_document_sync_kind=lsp.TextDocumentSyncKind.Full)
        self.library = Library()
        self.asked_to_end = False
        self._due: asyncio.TimerHandle | None = None

    def start(self, params: lsp.InitializeParams) -> None:
        """Note what the editor can do and where it works."""
        self.library.encoding = self.workspace.position_encoding or lsp.PositionEncodingKind.Utf16
        folders: list[str | None] = [one.uri for one in params.workspace_folders or ()]
        folders = folders or [params.root_uri]
        self.library.folders = [Path(path) for uri in folders if uri and (path := to_fs_path(uri))]
        document = params.capabilities.text_document
        completion = document.completion if document else None
        item = completion.completion_item if completion else None
        self.library.snippets = bool(item and item.snippet_support)

    def put(self, uri: str) -> None:
        """Take over the text of a script that was opened or changed."""
        self.library.put(uri, self.workspace.get_text_document(uri).source)
        self.say_soon()

    def say_soon(self) -> None:
        """Say what is wrong with all open scripts, when nothing has changed for a moment."""
        if self._due is not None:
            self._due.cancel()
        self._due = asyncio.get_running_loop().call_later(PAUSE, self._say)

    def _say(self) -> None:
        self._due = None
        for uri in self.library.opened:
            self.say(uri)

    def say(self, uri: str) -> None:
        """Say what is wrong with a script, now."""
        known = self.library.known(uri)
        shown = [diagnosing.shown(one, known) for one in self.diagnostics(known)]
        version = self.workspace.get_text_document(uri).version
        self.text_document_publish_diagnostics(
            lsp.PublishDiagnosticsParams(uri=uri, version=version, diagnostics=shown)
        )

    def diagnostics(self, known: Known) -> list[Diagnostic]:
        """All that is wrong with a script."""
        return self.library.diagnostics(known)


def build() -> Server:
    """A server that knows all its questions."""
    server = Server()
    feature = server.feature

    @feature(lsp.INITIALIZE)
    def initialize(ls: Server, params: lsp.InitializeParams) -> None:
        ls.start(params)

    @feature(lsp.TEXT_DOCUMENT_DID_OPEN)
    def did_open(ls: Server, params: lsp.DidOpenTextDocumentParams) -> None:
        ls.put(params.text_document.uri)

    @feature(lsp.TEXT_DOCUMENT_DID_CHANGE)
    def did_change(ls: Server, params: lsp.DidChangeTextDocumentParams) -> None:
        ls.put(params.text_document.uri)

    @feature(lsp.TEXT_DOCUMENT_DID_SAVE)
    def did_save(ls: Server, params: lsp.DidSaveTextDocumentParams) -> None:
        ls.say_soon()

    @feature(lsp.TEXT_DOCUMENT_DID_CLOSE)
    def did_close(ls: Server, params: lsp.DidCloseTextDocumentParams) -> None:
        uri = params.text_document.uri
        ls.library.close(uri)
        ls.text_document_publish_diagnostics(lsp.PublishDiagnosticsParams(uri=uri, diagnostics=[]))
        ls.say_soon()

    @feature(lsp.SHUTDOWN)
    def shutdown(ls: Server, *_: object) -> None:
        ls.asked_to_end = True

    _add_questions(server)
    _add_names(server)
    return server


def _known(server: Server, document: lsp.TextDocumentIdentifier) -> Known:
    try:
        return server.library.known(document.uri)
    except ScriptError as error:
        raise JsonRpcInvalidParams(message=str(error)) from error


def _add_questions(server: Server) -> None:
    feature = server.feature

    @feature(
        lsp.TEXT_DOCUMENT_CODE_ACTION,
        lsp.CodeActionOptions(code_action_kinds=[lsp.CodeActionKind.QuickFix, diagnosing.FIX_ALL]),
    )
    def code_action(ls: Server, params: lsp.CodeActionParams) -> list[lsp.CodeAction]:
        known = _known(ls, params.text_document)
        found = diagnosing.actions(known, ls.diagnostics(known), params.range)
        only = params.context.only
        return found if only is None else [one for one in found if _asked_for(one, only)]

    @feature(lsp.TEXT_DOCUMENT_HOVER)
    def hover(ls: Server, params: lsp.HoverParams) -> lsp.Hover | None:
        return hovering.hover(ls.library, _known(ls, params.text_document), params.position)

    @feature(
        lsp.TEXT_DOCUMENT_COMPLETION, lsp.CompletionOptions(trigger_characters=["@", ".", "{", "|", '"', " "])
    )
    def completion(ls: Server, params: lsp.CompletionParams) -> list[lsp.CompletionItem]:
        return completing.complete(ls.library, _known(ls, params.text_document), params.position)

    @feature(lsp.TEXT_DOCUMENT_DOCUMENT_SYMBOL)
    def document_symbol(ls: Server, params: lsp.DocumentSymbolParams) -> list[lsp.DocumentSymbol]:
        return outlining.symbols(_known(ls, params.text_document))

    @feature(lsp.TEXT_DOCUMENT_FOLDING_RANGE)
    def folding_range(ls: Server, params: lsp.FoldingRangeParams) -> list[lsp.FoldingRange]:
        return outlining.folds(_known(ls, params.text_document))

    @feature(lsp.TEXT_DOCUMENT_FORMATTING)
    def formatting(ls: Server, params: lsp.DocumentFormattingParams) -> list[lsp.TextEdit] | None:
        known = _known(ls, params.text_document)
        if not known.script.ok:
            return None  # nobody knows what was meant
        text = format_script(known.script)
        if text == known.source.text:
            return []
        return [lsp.TextEdit(known.places.range(Span(0, len(known.source.text))), text)]

    @feature(lsp.TEXT_DOCUMENT_SEMANTIC_TOKENS_FULL, colouring.LEGEND)
    def semantic_tokens(ls: Server, params: lsp.SemanticTokensParams) -> lsp.SemanticTokens:
        return colouring.colours(_known(ls, params.text_document))


def _asked_for(action: lsp.CodeAction, only: Sequence[lsp.CodeActionKind | str]) -> bool:
    """Whether an action is of a kind that was asked for: kinds are in each other, by their dots."""
    kind = str(getattr(action.kind, "value", action.kind))
    kinds = [str(getattr(one, "value", one)) for one in only]
    return any(kind == one or kind.startswith(f"{one}.") for one in kinds)


def _add_names(server: Server) -> None:
    feature = server.feature

    @feature(lsp.TEXT_DOCUMENT_DEFINITION)
    def definition(ls: Server, params: lsp.DefinitionParams) -> list[lsp.Location]:
        return navigating.definitions(ls.library, _known(ls, params.text_document), params.position)

    @feature(lsp.TEXT_DOCUMENT_REFERENCES)
    def references(ls: Server, params: lsp.ReferenceParams) -> list[lsp.Location]:
        known = _known(ls, params.text_document)
        wanted = params.context.include_declaration
        return navigating.references(ls.library, known, params.position, declaration=wanted)

    @feature(lsp.TEXT_DOCUMENT_DOCUMENT_HIGHLIGHT)
    def highlight(ls: Server, params: lsp.DocumentHighlightParams) -> list[lsp.DocumentHighlight]:
        return navigating.highlights(ls.library, _known(ls, params.text_document), params.position)

    @feature(lsp.TEXT_DOCUMENT_PREPARE_RENAME)
    def prepare_rename(ls: Server, params: lsp.PrepareRenameParams) -> lsp.Range | None:
        return navigating.renamable(ls.library, _known(ls, params.text_document), params.position)

    @feature(lsp.TEXT_DOCUMENT_RENAME, lsp.RenameOptions(prepare_provider=True))
    def rename(ls: Server, params: lsp.RenameParams) -> lsp.WorkspaceEdit | None:
        known = _known(ls, params.text_document)
        try:
            return navigating.rename(ls.library, known, params.position, params.new_name)
        except ScriptError as error:
            raise JsonRpcInvalidParams(message=str(error)) from error


def serve() -> bool:
    """Answer an editor on standard input and output until it says goodbye.

    Returns:
        Whether it did, as the protocol wants it: asked for the end first, then ended.
    """
    server = build()
    with os.fdopen(
        os.dup(sys.stdout.fileno()), "wb"
    ) as out:  # it is closed at the end, standard output is not ours
        server.start_io(stdout=out)
    return server.asked_to_end
