"""The REST API (WebOb) and mip6ctl, its command line client."""
