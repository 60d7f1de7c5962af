"""Losses, negatives, sampling, the plain-torch fits, and Ray Train and MLflow around them."""
