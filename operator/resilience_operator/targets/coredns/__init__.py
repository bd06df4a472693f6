"""Target coreDNS: the rules of section `coreDNS`."""
