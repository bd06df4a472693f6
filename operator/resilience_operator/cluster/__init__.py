"""What is known of any declared kind: decoding, ownership, store, relations, cache. No I/O."""
