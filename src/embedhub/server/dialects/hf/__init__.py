"""Hugging Face's Inference API, as the hosted service and its clients speak it."""
