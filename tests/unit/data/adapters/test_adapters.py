import polars as pl
import pytest

from homefeed.data.adapters import movielens, online_retail
from homefeed.data.contract import resolve
from homefeed.errors import DatasetError


def test_deskdrop_becomes_five_positive_types_and_nothing_personal(tmp_path):
    (tmp_path / "users_interactions.csv").write_text(
        "timestamp,eventType,contentId,personId,sessionId,userAgent,userRegion,userCountry\n"
        "1465413095,COMMENT CREATED,-349,-884,12,Mozilla,NY,US\n"
        "1465413032,VIEW,889,-103,13,,,\n"
    )
    dataset = resolve(str(tmp_path), tmp_path / "workspace")
    rows = dataset.scan("actions").collect()
    assert rows["action_type"].to_list() == ["view", "comment"]
    assert rows["user_id"].to_list() == [-103, -884]
    assert rows["timestamp"].to_list() == [1465413032000, 1465413095000]
    assert set(dataset.spec.positive) == {"view", "like", "bookmark", "comment", "follow"}
    assert dataset.columns("actions") == ("user_id", "item_id", "action_type", "timestamp")


RETAIL = "InvoiceNo StockCode Description Quantity InvoiceDate UnitPrice CustomerID Country"


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("users_interactions.csv", "timestamp,eventType,contentId,personId"),
        ("ratings.csv", "userId,movieId,rating,timestamp"),
        ("online_retail.parquet", RETAIL),
    ],
)
def test_a_known_set_without_rows_is_one_clear_line(tmp_path, name, header):
    if name.endswith(".csv"):
        (tmp_path / name).write_text(header + "\n")
    else:
        types = {"Quantity": pl.Int64, "CustomerID": pl.Float64}
        schema = {column: types.get(column, pl.String) for column in header.split()}
        pl.DataFrame(schema=schema).write_parquet(tmp_path / name)
    with pytest.raises(DatasetError, match=f"{name} holds no rows; fetch it again"):
        resolve(str(tmp_path), tmp_path / "workspace")


def test_what_was_adapted_once_is_reused_until_the_source_changes(tmp_path):
    file = tmp_path / "users_interactions.csv"
    text = "timestamp,eventType,contentId,personId\n1465413032,VIEW,889,-103\n"
    file.write_text(text)
    first = resolve(str(tmp_path), tmp_path / "workspace")
    assert resolve(str(tmp_path), tmp_path / "workspace").root == first.root
    file.write_text(text + "1465413033,VIEW,889,-103\n")
    assert resolve(str(tmp_path), tmp_path / "workspace").root != first.root


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("users_interactions.csv", b"a,b\n1,2\n"),
        ("online_retail.parquet", b"PAR1 cut short"),
        ("log_standard_4_25_to_5_08_pure.parquet", b""),
        ("ratings.dat", b"1::2\n"),
    ],
)
def test_a_file_that_only_has_the_name_of_a_known_set_is_one_clear_line(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DatasetError, match="but cannot be read as such") as error:
        resolve(str(tmp_path), tmp_path / "workspace")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "workspace").exists()


@pytest.fixture
def retail(tmp_path):
    lines = pl.DataFrame(
        [
            ("536365", "85123A", "HEART", 6, "2010-12-01 08:26:00", 17850.0),
            ("536365", "71053", "LANTERN ", 6, "2010-12-01 08:26:00", 17850.0),
            ("C53637", "85123A", "HEART", -1, "2010-12-02 09:00:00", 17850.0),
            ("536370", "85123A", "wrong?", 2, "2011-07-01 10:00:00", None),
            ("536371", "71053", None, -9, "2011-07-01 10:05:00", None),
        ],
        schema=["InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "CustomerID"],
        orient="row",
    )
    lines.write_parquet(tmp_path / online_retail.FILE)
    return online_retail.tables(tmp_path)


def test_online_retail_purchases_are_positive_and_cancellations_negative(retail):
    spec, tables = retail
    assert tables["actions"].select("user_id", "item_id", "action_type").rows() == [
        (17850, "85123A", "purchase"),
        (17850, "71053", "purchase"),
        (17850, "85123A", "cancellation"),
    ]
    assert spec.positive == ("purchase",)
    assert spec.negative == ("cancellation",)


def test_online_retail_times_are_british(retail):
    _, tables = retail
    assert tables["actions"]["timestamp"][0] == 1291191960000  # winter: UTC
    assert tables["collections"]["timestamp"].max() == 1309510800000  # summer: 10:00 is 09:00 UTC


def test_online_retail_items_have_text_and_baskets_are_collections(retail):
    _, tables = retail
    assert dict(tables["items"].rows()) == {"85123A": "HEART", "71053": "LANTERN"}
    assert tables["collections"].select("collection_id", "item_id").rows() == [
        ("536365", "85123A"),
        ("536365", "71053"),
        ("536370", "85123A"),  # a basket without a customer is still a basket
    ]


@pytest.mark.parametrize("form", ["csv", "dat"])
def test_movielens_ratings_become_likes_rates_and_dislikes(tmp_path, form):
    ratings = [(1, 10, "5.0", 978300760), (1, 11, "3.0", 978300761), (2, 10, "1.0", 978300762)]
    movies = [("10", "Amélie (2001)", "Comedy|Romance"), ("11", "Heat, The (1995)", "Action")]
    if form == "csv":
        header = "userId,movieId,rating,timestamp\n"
        body = "".join(",".join(map(str, row)) + "\n" for row in ratings)
        (tmp_path / "ratings.csv").write_text(header + body)
        (tmp_path / "movies.csv").write_text(
            "movieId,title,genres\n" + "".join(f'{i},"{t}",{g}\n' for i, t, g in movies)
        )
    else:
        for name, rows in (("ratings", ratings), ("movies", movies)):
            text = "".join("::".join(map(str, row)) + "\n" for row in rows)
            (tmp_path / f"{name}.dat").write_bytes(text.encode("latin-1"))
    assert movielens.recognises(tmp_path)
    _, tables = movielens.tables(tmp_path)
    assert tables["actions"]["action_type"].to_list() == ["like", "rate", "dislike"]
    assert tables["actions"]["timestamp"][0] == 978300760000
    assert tables["items"]["text"].to_list() == ["Amélie (2001)", "Heat, The (1995)"]
    assert tables["items"]["categories"].to_list() == [["Comedy", "Romance"], ["Action"]]
