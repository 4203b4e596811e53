"""Nearest rows: knows vectors, never a model, a text or a dataset; whoever searches hands vectors in."""

from embedhub.search.exact import ExactIndex, Hits, RowBlock, semantic_search, top_k
from embedhub.search.hnsw import HnswIndex, HnswParameters, open_hnsw
from embedhub.search.index import EXACT_ROWS, Index, open_index
from embedhub.search.metrics import SCORES, Metric, cos_sim, dot_score, euclidean_sim, metric_named

__all__ = [
    "EXACT_ROWS",
    "ExactIndex",
    "Hits",
    "HnswIndex",
    "HnswParameters",
    "Index",
    "Metric",
    "RowBlock",
    "SCORES",
    "cos_sim",
    "dot_score",
    "euclidean_sim",
    "metric_named",
    "open_hnsw",
    "open_index",
    "semantic_search",
    "top_k",
]
