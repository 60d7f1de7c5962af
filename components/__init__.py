"""One file per pipeline step: read artifacts, one library call, write artifacts."""
