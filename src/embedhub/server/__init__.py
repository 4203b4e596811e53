"""HTTP in, HTTP out. Knows paths, headers and status codes; what is computed, and how, it leaves to `runtime`."""
