"""How a fit's length follows the number of users."""

from homefeed.training.user_encoder_config import UserEncoderConfig


def test_a_small_log_is_passed_max_epochs_times_and_warms_up_in_proportion():
    config = UserEncoderConfig(steps=600, batch_users=128, max_epochs=20.0, warmup_steps=100)
    bounded = config.for_users(640)
    assert (bounded.steps, bounded.warmup_steps) == (100, 25)
    assert config.for_users(3).steps == 1


def test_a_large_log_takes_the_steps_that_were_asked_for():
    config = UserEncoderConfig(steps=600, batch_users=128, max_epochs=20.0, warmup_steps=100)
    assert config.for_users(19_000) == config


def test_without_max_epochs_the_number_of_users_changes_nothing():
    config = UserEncoderConfig(steps=600)
    assert config.for_users(1) == config
