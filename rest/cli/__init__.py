"""mip6ctl: a client of the REST API, and the provisioning of this machine's Open vSwitch."""
