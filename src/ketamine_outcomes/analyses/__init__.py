"""Statistics of one outcome each: outcome table and study to rows of the estimates table.

An analysis never touches a file, and it never leaves its rung of the ladder silently: what the
data cannot bear is a row with status refused that says why.
"""
