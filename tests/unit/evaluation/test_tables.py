import numpy as np

from homefeed.evaluation.report import Evaluation, EvaluationReport, Measurement
from homefeed.evaluation.tables import markdown


def evaluation(model, recalls):
    def measured(metric, mean, low=None, high=None):
        return Measurement(
            mode="once", view="all", metric=metric, mean=mean, low=low, high=high, users=2,
            targets=5,
        )  # fmt: skip

    report = EvaluationReport(
        model=model, model_hash=None, cutoff_s=0, horizon_days=14.0, index_size=1_000,
        catalogue_size=2_000, users=2, users_without_history=1, targets=5, repeat_share=0.5,
        known_share=0.75, topics="first item category",
        measurements=(
            measured("recall@10", float(np.mean(recalls)), 0.1, 0.4),
            measured("recall@50", 0.9, 0.8, 1.0),
            measured("percentile_rank", 0.125, 0.1, 0.2),
            measured("interest_entropy@50", 1.97, 1.9, 2.0),
            measured("p90_coverage@10", 0.042),
        ),
    )  # fmt: skip
    return Evaluation(report, np.array([1, 2]), {"once/all/recall@10": np.array(recalls)})


def test_a_table_holds_intervals_list_metrics_and_paired_differences():
    found = markdown([evaluation("ours", [0.5, 0.5]), evaluation("popularity", [0.25, 0.25])])
    assert found == (
        "2 users, 5 positives in 14 days, index of 1,000 of 2,000 items; 50.0% of a user's "
        "positives are repeats, 75.0% of all are on known items; 1 users without history left "
        "out. Topics: first item category.\n\n"
        "| once | recall@10, all positives | percentile rank | interest_entropy@50 | "
        "p90_coverage@10 |\n"
        "|---|---|---|---|---|\n"
        "| ours | 0.5000 [0.1000, 0.4000] | 0.1250 | 1.9700 | 0.0420 |\n"
        "| popularity | 0.2500 [0.1000, 0.4000] | 0.1250 | 1.9700 | 0.0420 |\n\n"
        "ours minus popularity, recall@10, once: 0.2500 [0.2500, 0.2500]\n"
    )
