"""Servers as their makers' tutorials write them, on the same graph and tokenizer: what ours is held against."""
