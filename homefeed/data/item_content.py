"""The content of items: what a content encoder makes its vectors of.

Three blocks side by side, each row scaled to length one so that none drowns another: the numeric
content vector, the text (hashed terms, TF-IDF, truncated SVD) and the categories (multi-hot,
hashed, TF-IDF, truncated SVD). Whatever is learned here (means, document frequencies, SVD axes)
is learned from items that existed at ``before_s``; later items are only projected.

Shapes: I items of the vocabulary (row 0 is padding), N items of the table, C content columns.
"""

import numpy as np
import polars as pl
from scipy import sparse

from homefeed.data.contract import Dataset
from homefeed.data.items import INDEX, item_rows, load_items
from homefeed.data.vocabulary import Vocabulary
from homefeed.schema import CATEGORIES, CONTENT, TEXT

TEXT_TERMS = 1 << 16  # hashed vocabulary of words and word pairs
CATEGORY_TERMS = 1 << 14
# Chinese and Japanese have no spaces between words: there each character is a term, and with the
# pairs each two beside one another. Elsewhere a term is two letters or more, as by default.
_UNSPACED = "\u3041-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_TERM = rf"[{_UNSPACED}]|[^\W{_UNSPACED}]{{2,}}"


def load_content(
    dataset: Dataset,
    items: Vocabulary,
    *,
    before_s: int,
    text_dim: int = 64,
    category_dim: int = 32,
    seed: int = 0,
) -> np.ndarray:
    """Content float32 [I+1, C] by vocabulary index; zeros where nothing is known.

    ``before_s`` bounds what the projections learn from; items without a known age count as old.
    """
    rows = item_rows(dataset, items)
    if rows is None:
        return np.zeros((items.size + 1, 0), np.float32)
    index = rows[INDEX].to_numpy()
    old = load_items(dataset, items).old(before_s)[index]
    blocks = [
        _numeric(rows[CONTENT], old),
        _text(rows[TEXT], old, text_dim, seed),
        _category(rows[CATEGORIES], old, category_dim, seed),
    ]
    content = np.zeros((items.size + 1, sum(b.shape[1] for b in blocks)), np.float32)
    if len(index):
        content[index] = np.concatenate(blocks, axis=1)
    return content


def unit_rows(vectors: np.ndarray) -> np.ndarray:
    """Rows [N, D] scaled to length one; zero rows stay zero."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0)


def _numeric(column: pl.Series, old: np.ndarray) -> np.ndarray:
    """Standardised over the old items' vectors; a missing or broken value becomes the mean."""
    lengths = column.list.len().fill_null(0).to_numpy().astype(np.int64)
    width = int(lengths.max(initial=0))
    if width == 0:
        return np.zeros((len(column), 0), np.float32)
    values = np.full((len(column), width), np.nan)
    flat = column.filter(pl.Series(lengths > 0)).explode().cast(pl.Float64).to_numpy()
    place = np.arange(len(flat)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    values[np.repeat(np.arange(len(column)), lengths), place] = flat
    values[~np.isfinite(values)] = np.nan
    known = ~np.isnan(values)
    learned = np.where(old[:, None] & known, values, 0.0)
    count = np.maximum((old[:, None] & known).sum(axis=0), 1)
    mean = learned.sum(axis=0) / count
    spread = np.sqrt((np.where(old[:, None] & known, values - mean, 0.0) ** 2).sum(axis=0) / count)
    scaled = np.where(known, (values - mean) / np.where(spread > 0, spread, 1.0), 0.0)
    return unit_rows(scaled.astype(np.float32))


def _text(column: pl.Series, old: np.ndarray, dim: int, seed: int) -> np.ndarray:
    texts = column.fill_null("").to_list()
    if not any(texts):
        return np.zeros((len(texts), 0), np.float32)
    from sklearn.feature_extraction.text import HashingVectorizer

    hashed = HashingVectorizer(
        n_features=TEXT_TERMS,
        ngram_range=(1, 2),
        norm=None,
        alternate_sign=False,
        token_pattern=_TERM,
    )
    return _weighted_svd(hashed.transform(texts), old, dim, seed)


def _category(column: pl.Series, old: np.ndarray, dim: int, seed: int) -> np.ndarray:
    names = [[c for c in value or () if c] for value in column.to_list()]
    if not any(names):
        return np.zeros((len(names), 0), np.float32)
    from sklearn.feature_extraction import FeatureHasher

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
