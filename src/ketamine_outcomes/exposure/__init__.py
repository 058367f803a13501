"""From charted dose rows to classified opioid intervals in mg and ketamine courses."""
