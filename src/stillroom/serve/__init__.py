"""Serves students over HTTP: admission and batches, protocols, keys, signals, the page. It never imports torch."""
