"""The rerank APIs of Cohere and Jina, and Cohere's embed."""
