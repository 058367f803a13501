"""From a source to the eight canonical tables."""
