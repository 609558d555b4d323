"""Inside training code: state dicts with other names."""
