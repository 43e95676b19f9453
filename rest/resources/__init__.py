"""The resources of the API: handlers that turn a Call into what becomes JSON."""
