"""Which arm a user falls into, and the release that answers there."""

from serving.served import Assigned, Served


def assign(served: Served, user_id: str) -> Assigned:
    """The first running test that takes the typed user id decides; else the champion.

    One release answers a request, so one test decides: the one that was started first. A user
    outside its traffic is asked of the next one.
    """
    for test in served.tests:
        arm = test.arm_of(user_id)
        if arm is not None:
            return Assigned(served.releases[test.arms[arm]], test.name, arm)
    return Assigned(served.releases[served.champion])
