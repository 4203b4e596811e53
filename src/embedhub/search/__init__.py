"""Nearest rows: knows vectors, never a model, a text or a dataset; whoever searches hands vectors in."""

from embedhub.search.coded import CodedIndex, open_coded
from embedhub.search.exact import ExactIndex, Hits, RowBlock, semantic_search, top_k
from embedhub.search.index import EXACT_ROWS, Index, open_index
from embedhub.search.metrics import SCORES, Metric, cos_sim, dot_score, euclidean_sim, metric_named

__all__ = [
    "CodedIndex",
    "EXACT_ROWS",
    "ExactIndex",
    "Hits",
    "Index",
    "Metric",
    "RowBlock",
    "SCORES",
    "cos_sim",
    "dot_score",
    "euclidean_sim",
    "metric_named",
    "open_coded",
    "open_index",
    "semantic_search",
    "top_k",
]
