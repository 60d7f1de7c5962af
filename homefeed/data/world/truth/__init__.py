"""The truth about the world. Only the simulation imports it: no model, feature or evaluation."""

from homefeed.data.world.truth.memory import Memory
from homefeed.data.world.truth.response import LONG_S
from homefeed.data.world.truth.sessions import Visits
from homefeed.data.world.truth.world import ACTION_TYPES, Responses, World

__all__ = ["ACTION_TYPES", "LONG_S", "Memory", "Responses", "Visits", "World"]
