"""What is known about items apart from who acted on them: content, categories, age.

Three blocks side by side, each row scaled to length one so that none drowns another: the numeric
content vector, the text (hashed terms, TF-IDF, truncated SVD) and the categories (multi-hot,
hashed, TF-IDF, truncated SVD). Whatever is learned here (means, document frequencies, SVD axes)
is learned from items that existed at ``before_s``; later items are only projected.

Shapes: I items of the vocabulary (row 0 is padding), C content columns.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy import sparse

from homefeed.data.contract import Dataset
from homefeed.data.vocabulary import Vocabulary
from homefeed.schema import CATEGORIES, CONTENT, CREATED_AT, ITEM_ID, ITEMS, PADDING, TEXT

NO_TIME = -1  # created_s of an item whose age nobody recorded
TEXT_TERMS = 1 << 16  # hashed vocabulary of words and word pairs
CATEGORY_TERMS = 1 << 14
# Chinese and Japanese have no spaces between words: there each character is a term, and with the
# pairs each two beside one another. Elsewhere a term is two letters or more, as by default.
_UNSPACED = "\u3041-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_TERM = rf"[{_UNSPACED}]|[^\W{_UNSPACED}]{{2,}}"


@dataclass(frozen=True)
class ItemTable:
    """Item features by vocabulary index."""

    content: np.ndarray  # float32 [I+1, C]; zeros where nothing is known
    created_s: np.ndarray  # int64 [I+1] seconds, NO_TIME where unknown
    topic: np.ndarray  # int32 [I+1]: the item's first category, numbered; 0 where it has none
    topic_names: tuple[str, ...]  # by topic number; [0] == ""

    @classmethod
    def empty(cls, num_items: int) -> "ItemTable":
        """For a data set without an items table."""
        return cls(
            np.zeros((num_items + 1, 0), np.float32),
            np.full(num_items + 1, NO_TIME, np.int64),
            np.zeros(num_items + 1, np.int32),
            ("",),
        )


def load_items(
    dataset: Dataset,
    items: Vocabulary,
    *,
    before_s: int | None = None,
    text_dim: int = 64,
    category_dim: int = 32,
    seed: int = 0,
) -> ItemTable:
    """Read the items table of ``dataset`` into rows by vocabulary index.

    Rows of items outside the vocabulary are left out; the last row of a repeated item counts.
    ``before_s`` bounds what the projections learn from; items without a known age count as old.
    """
    if not dataset.has(ITEMS):
        return ItemTable.empty(items.size)
    rows = dataset.scan(ITEMS).collect()
    index = items.indices(rows[ITEM_ID])
    rows = rows.with_columns(pl.Series("index", index)).filter(pl.col("index") != PADDING)
    rows = rows.unique("index", keep="last").sort("index")
    index = rows["index"].to_numpy()
    milliseconds = rows[CREATED_AT].fill_null(NO_TIME * 1000).to_numpy()
    created_s = np.full(items.size + 1, NO_TIME, np.int64)
    created_s[index] = milliseconds // 1000
    old = np.ones(len(index), bool) if before_s is None else created_s[index] <= before_s
    blocks = [
        _numeric(rows[CONTENT], old),
        _text(rows[TEXT], old, text_dim, seed),
        _category(rows[CATEGORIES], old, category_dim, seed),
    ]
    content = np.zeros((items.size + 1, sum(b.shape[1] for b in blocks)), np.float32)
    if len(index):
        content[index] = np.concatenate(blocks, axis=1)
    topic, names = _topics(rows[CATEGORIES])
    by_index = np.zeros(items.size + 1, np.int32)
    by_index[index] = topic
    return ItemTable(content, created_s, by_index, names)


def unit_rows(vectors: np.ndarray) -> np.ndarray:
    """Rows [N, D] scaled to length one; zero rows stay zero."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0)


def _numeric(column: pl.Series, old: np.ndarray) -> np.ndarray:
    """Standardised over the old items' vectors; a missing or broken value becomes the mean."""
    width = int(column.list.len().max() or 0)
    if width == 0:
        return np.zeros((len(column), 0), np.float32)
    filled = [v if v is not None else [] for v in column.to_list()]
    values = np.full((len(filled), width), np.nan)
    for row, vector in enumerate(filled):
        values[row, : len(vector)] = [np.nan if v is None else v for v in vector]
    values[~np.isfinite(values)] = np.nan
    known = ~np.isnan(values)
    learned = np.where(old[:, None] & known, values, 0.0)
    count = np.maximum((old[:, None] & known).sum(axis=0), 1)
    mean = learned.sum(axis=0) / count
    spread = np.sqrt((np.where(old[:, None] & known, values - mean, 0.0) ** 2).sum(axis=0) / count)
    scaled = np.where(known, (values - mean) / np.where(spread > 0, spread, 1.0), 0.0)
    return unit_rows(scaled.astype(np.float32))


def _text(column: pl.Series, old: np.ndarray, dim: int, seed: int) -> np.ndarray:
    from sklearn.feature_extraction.text import HashingVectorizer

    texts = column.fill_null("").to_list()
    if not any(texts):
        return np.zeros((len(texts), 0), np.float32)
    hashed = HashingVectorizer(
        n_features=TEXT_TERMS,
        ngram_range=(1, 2),
        norm=None,
        alternate_sign=False,
        token_pattern=_TERM,
    )
    return _weighted_svd(hashed.transform(texts), old, dim, seed)


def _category(column: pl.Series, old: np.ndarray, dim: int, seed: int) -> np.ndarray:
    from sklearn.feature_extraction import FeatureHasher

    names = [[c for c in value or () if c] for value in column.to_list()]
    if not any(names):
        return np.zeros((len(names), 0), np.float32)
    hashed = FeatureHasher(CATEGORY_TERMS, input_type="string", alternate_sign=False)
    return _weighted_svd(hashed.transform(names), old, dim, seed)


def _weighted_svd(counts: sparse.csr_matrix, old: np.ndarray, dim: int, seed: int) -> np.ndarray:
    """TF-IDF and truncated SVD of counts [N, terms], both fitted on the old rows; [N, ≤ dim]."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfTransformer

    learned = counts[old]
    if learned.nnz == 0:
        return np.zeros((counts.shape[0], 0), np.float32)
    weights = TfidfTransformer(sublinear_tf=True).fit(learned)
    learned = weights.transform(learned)
    used = np.unique(learned.indices)  # SVD over the terms that occur: smaller, same axes
    if len(used) <= dim:
        return unit_rows(weights.transform(counts)[:, used].toarray().astype(np.float32))
    dim = min(dim, learned.shape[0])
    axes = TruncatedSVD(dim, random_state=seed).fit(learned[:, used])
    return unit_rows(axes.transform(weights.transform(counts)[:, used]).astype(np.float32))


def _topics(column: pl.Series) -> tuple[np.ndarray, tuple[str, ...]]:
    """Number the first categories by name: topic int32 [N], names by number."""
    first = column.list.first().fill_null("")
    names = ("", *sorted(set(first.to_list()) - {""}))
    number = {name: place for place, name in enumerate(names)}
    return np.array([number[name] for name in first.to_list()], np.int32), names
