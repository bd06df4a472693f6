"""What lies outside, one system per module: nothing is decided here."""
