"""The OpenFlow shell of the home agent: punts in, engine actions out as flows and packets."""
