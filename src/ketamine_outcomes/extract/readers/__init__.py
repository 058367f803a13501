"""One module per kind of source; only they know a source's quirks."""
