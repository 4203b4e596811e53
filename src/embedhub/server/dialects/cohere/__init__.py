"""The rerank APIs of Cohere and Jina."""
