"""User features in Feast: declarations built from the live encoders, and the one client.

``FeatureStore`` (client.py) is the only way in; nothing else in the project calls Feast.
"""
