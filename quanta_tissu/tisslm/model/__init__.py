"""The decoder-only transformer: modules made of ops, chosen by name in the configuration."""
