"""Who is in the analysis, when their time zero is, and what was known then."""
