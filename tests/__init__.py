"""Examples, integration, end-to-end, crash and tamper tests."""
