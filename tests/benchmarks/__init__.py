"""Benchmarks. In an ordinary test run each is tried once, in small."""

import sys

MEASURING = "--benchmark-enable" in sys.argv or "--benchmark-only" in sys.argv
