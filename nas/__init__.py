"""Find the most accurate mobile network within a latency budget on a real device."""

__version__ = "0.1.0"
