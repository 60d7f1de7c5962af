"""The command line `homefeed`: the top floor. It imports what it starts; nobody imports it."""
