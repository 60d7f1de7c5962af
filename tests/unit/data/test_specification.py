import pytest

from homefeed.data.specification import DatasetSpec, parse_spec, read_spec, spec_values, write_spec
from homefeed.errors import DatasetError
from homefeed.plain_values import read_yaml

LEAST = {"name": "shop", "files": {"actions": "a.parquet"}, "positive": ["buy"]}
IMPRESSIONS = {"actions": "a.parquet", "impressions": "i.parquet"}


def test_the_least_specification_has_the_documented_defaults():
    spec = parse_spec(LEAST, "dataset.yaml")
    assert spec.timestamp_unit == "s"
    assert spec.time_zone == "UTC"
    assert spec.session_gap_s == 1800
    assert spec.span is None
    assert spec.action_types == ("buy",)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"postive": ["x"]}, "unknown key `postive`; did you mean `positive`?"),
        ({"files": {"action": "a.parquet"}}, "unknown table `action`; did you mean `actions`?"),
        ({"columns": {"actons": {}}}, "did you mean `actions`?"),
        ({"files": {"items": "i.parquet"}}, "names no actions table"),
        ({"files": {"actions": ["a", "b"]}}, "`files.actions` is ['a', 'b']; it must be one file"),
        ({"positive": "buy"}, "`positive` is 'buy'; it must be a list"),
        ({"positive": None}, "`positive` is missing"),
        ({"positive": [True]}, "`positive` is [True]; it must be a list of texts; put yes, no"),
        ({"neutral": ["view", None]}, "`neutral` is ['view', None]; it must be a list of texts"),
        ({"name": "../shop"}, "`name` is '../shop'; it must be letters"),
        ({"timestamp_unit": "seconds"}, "`timestamp_unit` is 'seconds'; it must be of s, ms"),
        ({"time_zone": "Mars/Olympus"}, "`time_zone` is 'Mars/Olympus'"),
        ({"span": ["2024-02-01", "2024-01-01"]}, "start before end"),
        ({"span": [float("nan"), 5]}, "`span` is nan; it must be seconds or dates"),
        ({"span": [5, float("inf")]}, "`span` is inf"),
        ({"labels": [f"l{n}" for n in range(49)]}, "names 49 columns; it may name 48"),
        ({"span": [1]}, "must be [start, end]"),
        ({"span": ["soon", "later"]}, "`span` is 'soon'"),
        ({"negative": ["buy"]}, "`buy` is declared twice"),
        ({"min_duration_s": {"bye": 3}}, "did you mean `buy`?"),
        ({"min_duration_s": {"buy": "long"}}, "`min_duration_s` is 'long'"),
        ({"session_gap_s": 0}, "`session_gap_s` is 0"),
        ({"live": "yes"}, "`live` is 'yes'"),
        ({"files": IMPRESSIONS}, "impressions need `labels`"),
        (
            {"files": IMPRESSIONS, "labels": ["click"], "primary_label": "clik"},
            "did you mean `click`?",
        ),
    ],
)
def test_a_wrong_value_is_named_with_what_to_write(change, message):
    with pytest.raises(DatasetError) as error:
        parse_spec({**LEAST, **change}, "dataset.yaml")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_the_first_label_is_the_primary_one_unless_another_is_named():
    values = {**LEAST, "files": IMPRESSIONS, "labels": ["save", "click"]}
    assert parse_spec(values, "x").primary_label == "save"
    assert parse_spec({**values, "primary_label": "click"}, "x").primary_label == "click"


@pytest.mark.parametrize(
    "span",
    [[1704067200, 1704153600], ["2024-01-01", "2024-01-02"], ["2024-01-01T00:00:00Z", 1704153600]],
)
def test_a_span_is_seconds_or_dates(span):
    assert parse_spec({**LEAST, "span": span}, "x").span == (1704067200, 1704153600)


def test_a_span_of_dates_is_of_the_declared_zone():
    zone = {"time_zone": "Asia/Shanghai"}
    spec = parse_spec({**LEAST, **zone, "span": ["2024-01-01", "2024-01-02T00:00:00Z"]}, "x")
    assert spec.span == (1704067200 - 8 * 3600, 1704153600)


def test_a_label_that_is_declared_twice_is_named():
    values = {**LEAST, "files": IMPRESSIONS, "labels": ["click", "save", "click"]}
    with pytest.raises(DatasetError, match="label `click` is declared twice"):
        parse_spec(values, "x")


def test_a_specification_written_and_read_again_is_the_same(tmp_path):
    spec = DatasetSpec(
        name="größe",
        files={"actions": "a.parquet", "impressions": "i.csv"},
        columns={"actions": {"user_id": "Kunde"}},
        time_zone="Europe/Berlin",
        timestamp_unit="datetime",
        span=(10, 20),
        positive=("buy", "like"),
        neutral=("view",),
        negative=("return",),
        min_duration_s={"buy": 1.5},
        session_gap_s=60,
        surfaces=("home",),
        labels=("click", "buy"),
        primary_label="buy",
        live=True,
        notes=("assumed: nothing",),
    )
    write_spec(tmp_path / "dataset.yaml", spec)
    assert read_spec(tmp_path / "dataset.yaml") == spec


def test_keys_at_their_default_are_not_written():
    assert set(spec_values(parse_spec(LEAST, "x"))) == {"name", "files", "positive"}


def test_a_date_that_no_calendar_has_is_named(tmp_path):
    (tmp_path / "dataset.yaml").write_text("name: a\nspan: [2024-01-01, 2024-02-30]\n")
    with pytest.raises(DatasetError, match=r"dataset.yaml: `2024-02-30` is no date \(day is out"):
        read_spec(tmp_path / "dataset.yaml")


def test_a_key_that_stands_twice_is_named_with_its_line(tmp_path):
    (tmp_path / "dataset.yaml").write_text("name: a\npositive: [buy]\npositive: [view]\n")
    with pytest.raises(DatasetError, match=r"key 'positive' stands twice.*line 3") as error:
        read_spec(tmp_path / "dataset.yaml")
    assert "\n" not in str(error.value)


def test_mappings_may_be_merged_as_yaml_merges_them(tmp_path):
    text = "x: &x {timestamp_unit: ms}\ny: &y {name: a, <<: *x}\nz: {<<: *x, <<: *y, name: b}"
    assert read_yaml(text)["z"] == {"timestamp_unit": "ms", "name": "b"}


def test_a_file_that_is_no_yaml_is_one_clear_line(tmp_path):
    (tmp_path / "dataset.yaml").write_text("name: [a\nfiles: }")
    with pytest.raises(DatasetError, match=r"is not YAML: .* mend that line") as error:
        read_spec(tmp_path / "dataset.yaml")
    assert "\n" not in str(error.value)
