"""What a ranker is given to read: rows as store and set say, without what the window hides."""

import numpy as np

from homefeed.schema import ActionFlag
from homefeed.training.ranker_batches import RankerData


def test_batches_hold_what_the_store_and_the_set_say(training_set, store):
    data = RankerData(training_set, store)
    requests = np.array([40, 7, 55])
    labelled = data.batch(requests)
    batch = labelled.by_vector["none"]
    row = 0
    for place, request in enumerate(requests):
        positions = [p for p in training_set.actions[request] if p >= 0]
        assert batch.items[place][: len(positions)].tolist() == [store.item[p] for p in positions]
        assert (batch.actions[place][len(positions) :] == 0).all()
        for wanted in np.flatnonzero(np.asarray(training_set.request) == request):
            assert batch.candidates[row] == training_set.item[wanted]
            assert batch.request[row] == place
            assert labelled.labels[row].tolist() == training_set.labels[wanted].tolist()
            row += 1
    assert row == len(batch.candidates)


def test_the_time_window_hides_the_newest_actions_and_moves_the_rest_up(training_set, store):
    data = RankerData(training_set, store)
    requests = training_set.requests_of(0)
    hidden = data.hidden(requests, 24.0, 5)
    assert hidden.max() > 0
    assert (hidden < data.lengths(requests)).any()
    batch = data.batch(requests, hidden).by_vector["none"]
    for place, request in enumerate(requests[:50]):
        positions = [p for p in training_set.actions[request] if p >= 0][hidden[place] :]
        assert batch.items[place][: len(positions)].tolist() == [store.item[p] for p in positions]
        assert (batch.actions[place][len(positions) :] == 0).all()


def test_windows_are_drawn_per_request_and_lie_between_none_and_a_day(training_set, store):
    data = RankerData(training_set, store)
    requests = training_set.requests_of(0)
    hidden = data.hidden(requests, 24.0, 5)
    positions = np.asarray(training_set.actions[requests])
    age_s = data.time_s[requests][:, None] - store.time_s[np.where(positions < 0, 0, positions)]
    within = ((positions >= 0) & (age_s < 86_400)).sum(1)
    assert (hidden <= within).all()
    busy = within > 0
    assert 0.2 < (hidden[busy] / within[busy]).mean() < 0.8
    assert (data.hidden(requests, 24.0, 5) == hidden).all()
    assert (data.hidden(requests, 24.0, 6) != hidden).any()
    assert (data.hidden(requests, 0.0, 5) == 0).all()


def test_actions_of_unknown_time_are_never_hidden(training_set, store):
    data = RankerData(training_set, store)
    untimed = np.array(store.flags) | np.uint8(ActionFlag.TIME_UNKNOWN)

    class Untimed:
        meta, item, action, time_s, flags = (
            store.meta,
            store.item,
            store.action,
            store.time_s,
            untimed,
        )

    data = RankerData(training_set, Untimed())
    assert (data.hidden(training_set.requests_of(0), 24.0, 5) == 0).all()
