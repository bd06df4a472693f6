"""Values and vocabulary of the whole program; the standard library alone, so that every shell can import it."""
