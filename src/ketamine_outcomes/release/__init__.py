"""What leaves the data holder: suppression, figures, tables, the report and the manifest.

Nothing here computes a statistic: everything is drawn from the estimates table (after
`disclosure.apply`) or from a declared private table.
"""
