"""The language server: what editors ask about scripts of TissLang (`tissu lang lsp`).

It speaks the Language Server Protocol of Microsoft, version 3.17, through pygls. Only this package imports pygls,
and only this package counts in the units of an editor (UTF-16, as a rule): everything below counts code points.
"""
