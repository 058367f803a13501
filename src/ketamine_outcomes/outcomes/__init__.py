"""What is measured: definitions that turn the extract and the exposure into outcome tables."""
