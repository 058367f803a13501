"""Words that the report uses, explained once."""

GLOSSARY = (
    (
        "Cumulative incidence",
        (
            "Share that has had the event by a time, while other events that "
            "end the chance of it (competing events) are counted as such."
        ),
    ),
    (
        "Hazard ratio",
        (
            "How many times as often the event happens per hour in one group as in "
            "another, among those still at risk."
        ),
    ),
    (
        "Incomplete",
        "An opioid was given in the window that could not be counted: the value is a lower bound.",
    ),
    ("Index (time zero)", "The moment from which hours are counted."),
    ("Interval", "Range of values that fit the data at the stated level, usually 95 %."),
    (
        "MME",
        (
            "Morphine milligram equivalents: doses of different opioids on one scale, by "
            "conversion factors that are approximate."
        ),
    ),
    (
        "MME per 24 h observed",
        (
            "MME divided by the hours in which doses were recorded, times 24. "
            "Under 12 h it is an extrapolation and says so."
        ),
    ),
    ("Not estimable", "The calculation has no answer in these data."),
    ("Refused", "The data cannot bear the analysis; the reason is given."),
    ("SMD", "Standardised mean difference between two groups; beyond 0.1 it is usually looked at."),
    ("Suppressed", "A small number that is hidden to protect people."),
    ("Unknown", "Nobody observed it. It is neither zero nor absent."),
    ("Window", "Hours from a to b from time zero; what is stamped at b belongs to the next."),
)
