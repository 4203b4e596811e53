"""The Hub over HTTP: the paths and bodies of the Hugging Face Hub's clients. What is done, `embedhub.hub` knows."""
