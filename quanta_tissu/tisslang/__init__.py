"""TissLang: a language for agent workflows whose runs are checked before, sandboxed during, accountable after."""
