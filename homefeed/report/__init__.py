"""Reports for people: each step writes a piece, the report puts the pieces on one page."""
