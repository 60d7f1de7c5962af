"""The figures as tables on the terminal."""

from typing import Any


def report(found: dict[str, Any]) -> None:
    """Print everything that `judged` found."""
    planned = found["planned"]
    print(
        f"\nlength: to see a lift of {planned['effect']:.1%} (power 80 %, two arms) it takes "
        f"{planned['days']} days{'' if planned['enough'] else ', and even that is not enough'}; "
        f"{planned['users_per_arm']:,} users per arm then see {planned['detectable']:.1%}"
    )
    lived = ", ".join(f"{arm} {days}" for arm, days in found["lived"].items())
    print(f"lived, days: {lived}; the arms side by side over {found['days']}, per request:")
    _arms(found["arms"])
    print("\nthe A/B test: users split by assignment, unpaired, 95 %")
    for row in found["ab_test"]:
        mark = "*" if row["significant"] else " "
        print(
            f"  {row['arm']:>12} over {row['control']:<12} {row['metric']:<22} "
            f"{row['text']:<28}{mark} p {row['p_value']:.3f}  "
            f"{row['control_users']:,} and {row['users']:,} users, {row['days']} days"
        )
    print("\nthe truth: every user under both arms, paired, 95 %")
    for row in found["truth"]:
        print(
            f"  {row['arm']:>12} over {row['control']:<12} {row['metric']:<22} "
            f"expected {row['expected']['text']:<28} done {row['done']['text']:<28} "
            f"{row['users']:,} users, {row['days']} days"
        )
    print("\nthe A/A check: re-drawn assignments of one arm's log, significant at 5 %")
    for row in found["redrawn_aa"]:
        verdict = "PASS" if row["passed"] else "FAIL"
        print(
            f"  {verdict}  {row['metric']:<22} {row['significant']} of {row['draws']} "
            f"({row['significant'] / max(row['draws'], 1):.1%}); 99 % interval "
            f"{row['low']} to {row['high']}; log of {row['log']}"
        )
    for life in found["lives"]:
        requests = max(life.get("requests", 0), 1)
        print(
            f"  {life['arm']}: {1000 * life.get('answering_cpu_s', 0) / requests:.1f} CPU-ms a "
            f"request with its user, {life.get('refreshing_cpu_s', 0):.0f} CPU-s of refreshes"
        )


def _arms(arms: dict[str, Any]) -> None:
    print(
        f"\n  {'arm':<14}{'positives':>11}{'expected':>11}{'saves':>9}{'hides':>9}"
        f"{'best order':>12}{'served':>9}{'random':>9}  degraded"
    )
    for arm, row in arms.items():
        kinds = ", ".join(f"{name} {count:,}" for name, count in row["degraded"].items())
        print(
            f"  {arm:<14}{row['positives_per_request']:>11.4f}"
            f"{row['expected_positives_per_request']:>11.4f}{row['saves_per_request']:>9.4f}"
            f"{row['hides_per_request']:>9.4f}"
            f"{row['best_order']:>12.4f}{row['sampled']:>9.4f}{row['random_order']:>9.4f}"
            f"  {row['degraded_share']:.2%} {kinds}"
        )
