"""The site: pages for people, over the same rooms as the API. Templates are rendered here, scripts ask the API."""
