"""The nodes: a schema, one call and a return each."""
