"""Everything around the application: installation, configuration, switch provisioning, shim, benchmarks."""
